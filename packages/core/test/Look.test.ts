/** Content is what was made; how it looked and what its making took lie beside it. */
import { Action, Artifact, Gc, Look, Run, RunLog, Source, Stage, Store } from "@hila/core"
import { known } from "@hila/core/Lookup"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"

const numbers = Artifact.json("numbers", Schema.Array(Schema.Finite))
const table = (rows: ReadonlyArray<ReadonlyArray<string>>) =>
  ({ _tag: "Table", title: "Squares", head: ["of", "square"], rows }) as const

/** A stage that measures something that no two of its runs agree in. */
const squares = (version: number, measured: number, drawn = "a table") =>
  Stage.make({
    name: "squares",
    version,
    inputs: { numbers },
    output: Artifact.json("squares", Schema.Array(Schema.Finite), {
      summary: (all) => `${all.length} squares`,
      show: (all, { took } = {}) => `${all.join(" ")} by ${drawn}, took ${took}`,
      figures: (all) => [table(all.map((square) => [String(Math.sqrt(square)), String(square)]))],
    }),
    run: ({ numbers: all }) =>
      Effect.as(
        Stage.measure({ took: measured }),
        all.map((x) => x ** 2),
      ),
  })

const source = Source.value(numbers, [2, 3], "two and three")

const record = Effect.gen(function* () {
  const store = yield* Store
  return (yield* store.actions).find(({ ingredients }) => ingredients.stage === "squares")
})

layer(Store.layerMemory)("a look", (it) => {
  it.effect("is kept beside the record, as it was drawn then, and changes no content", () =>
    Effect.gen(function* () {
      yield* Run.outputs({ result: squares(1, 5)({ numbers: source }) })
      const first: Action.Action = known(yield* record)
      assert.deepStrictEqual(first.measured, { took: 5 })
      assert.deepStrictEqual(yield* Look.read(first), {
        text: "4 9 by a table, took 5",
        figures: [
          table([
            ["2", "4"],
            ["3", "9"],
          ]),
        ],
      })
      // Drawn otherwise it is the same result, and a hit.
      yield* Run.outputs({ result: squares(1, 7, "a plot")({ numbers: source }) })
      assert.strictEqual((yield* Look.read(known(yield* record))).text, "4 9 by a table, took 5")

      const store = yield* Store
      yield* store.removeAction(first)
      yield* Run.outputs({ result: squares(1, 7, "a plot")({ numbers: source }) })
      const second = known(yield* record)
      assert.strictEqual(second.digest, first.digest)
      assert.strictEqual((yield* Look.read(second)).text, "4 9 by a plot, took 7")
    }),
  )

  it.effect("stays while its record stays, and a run says what it started from and came to", () =>
    Effect.gen(function* () {
      const node = squares(2, 1)({ numbers: source })
      yield* Run.outputs({ result: node, given: source }, { pipeline: "toy" })
      const store = yield* Store
      const garbage = yield* Gc.find({ runs: 0, grace: 0 })
      const kept = (yield* store.actions).filter((action) => !garbage.actions.includes(action))
      assert.isAbove(kept.length, 0)
      const gone = new Set(garbage.blobs.map(({ digest }) => digest))
      for (const { look } of kept) assert.isFalse(gone.has(known(look)))

      const run = known((yield* RunLog.all).find(({ pipeline }) => pipeline === "toy"))
      const { key, node: title } = known(run.nodes[0])
      assert.deepStrictEqual(run.outputs, [
        { output: "result", node: title, key },
        { output: "given", node: "two and three" },
      ])
      assert.deepStrictEqual(
        run.sources.map(({ artifact, node: of }) => [of, artifact]),
        [["two and three", "numbers"]],
      )
    }),
  )

  it.effect("is added to what was recorded without one when it is asked for again", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const nodes = { result: squares(3, 2)({ numbers: source }) }
      yield* Run.outputs(nodes)
      const found = (yield* store.actions).find(({ ingredients }) => ingredients.version === 3)
      const { look, ...old } = known(found)
      yield* store.record(old)
      assert.strictEqual((yield* Look.read(old)).text, "2 squares")
      yield* Run.outputs(nodes)
      const again = (yield* store.actions).find(({ key }) => key === old.key)
      assert.strictEqual(known(again).look, look)
    }),
  )

  it.effect("that cannot be drawn costs no result", () =>
    Effect.gen(function* () {
      const broken = Artifact.json("broken", Schema.Finite, {
        figures: () => {
          throw new Error("no ink")
        },
      })
      const draw = Stage.make({ name: "draw", version: 1, output: broken, run: () => Effect.succeed(1) })
      assert.deepStrictEqual(yield* Run.outputs({ drawn: draw({}) }), { drawn: 1 })
      const action = known(
        (yield* (yield* Store).actions).find(({ ingredients }) => ingredients.stage === "draw"),
      )
      assert.strictEqual((yield* Look.read(action)).text, "broken (it cannot be drawn: no ink)")
    }),
  )
})
