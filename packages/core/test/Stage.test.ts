import { Artifact, Events, Resources, Run, Source, Stage, Store } from "@hila/core"
import { observed } from "@hila/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schedule, Schema, Tracer } from "effect"

const One = Artifact.json("one", Schema.Finite)

class Flaky extends Schema.TaggedError<Flaky>()("Flaky", {}) {
  override get message() {
    return "not this time"
  }
}

describe("Stage", () => {
  it.effect("repeats a body that fails by its schedule, and keeps the elements it had finished", () =>
    Effect.gen(function* () {
      const calls: Array<number> = []
      const flaky = Stage.make({
        name: "flaky",
        version: 1,
        output: Artifact.json("list", Schema.Array(Schema.Finite)),
        retry: Schedule.recurs(3),
        run: () =>
          Stage.forEach(
            [1, 2, 3],
            (value) =>
              Effect.suspend(() => {
                calls.push(value)
                return calls.length < 5 && value === 3 ? Effect.fail(new Flaky()) : Effect.succeed(value)
              }),
            { part: String, output: One },
          ),
      })
      const { events, value } = yield* observed(Run.outputs({ out: flaky({}) }))
      assert.deepStrictEqual(value, { out: [1, 2, 3] })
      assert.deepStrictEqual(calls, [1, 2, 3, 3, 3])
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "Retried" ? [[event.attempt, event.message]] : [])),
        [
          [2, "not this time"],
          [3, "not this time"],
        ],
      )
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  const hungry = (use: { now: number; most: number }, company = 1) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    return Stage.make({
      name: "hungry",
      version: 1,
      params: { id: Schema.Int },
      output: One,
      resources: { memoryGiB: 4 },
      run: () =>
        Effect.promise(async () => {
          use.most = Math.max(use.most, ++use.now)
          // Waits for company, however slowly the machine starts it, and then for more than there may be.
          if (use.now === company) resolve()
          await promise
          await new Promise((go) => setTimeout(go, 10))
          use.now--
          return 1
        }),
    })
  }

  it.effect("takes from the pools while it runs, so that no more run than fit", () =>
    Effect.gen(function* () {
      const use = { now: 0, most: 0 }
      const stage = hungry(use, 2)
      const nodes = Object.fromEntries([1, 2, 3, 4, 5].map((id) => [`n${id}`, stage({}, { id })]))
      yield* Run.outputs(nodes, { jobs: 5 }).pipe(Effect.provide(Resources.layer({ memoryGiB: 9.5 })))
      assert.strictEqual(use.most, 2)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("that takes more than its pool holds fails in one line", () =>
    Effect.gen(function* () {
      const out = hungry({ now: 0, most: 0 })({}, { id: 1 })
      const error = yield* Run.outputs({ out }).pipe(
        Effect.provide(Resources.layer({ memoryGiB: 2 })),
        Effect.flip,
      )
      assert.strictEqual(
        error.message,
        "stage hungry: it takes 4 of memoryGiB, the pool holds 2: give the pool more or the stage less",
      )
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("has one span for each node, whether it runs or hits", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          names.push(options.name)
          return new Tracer.NativeSpan(options)
        },
      })
      const stage = hungry({ now: 0, most: 0 })
      const nodes = { a: stage({}, { id: 1 }, "a"), b: stage({}, { id: 2 }, "b") }
      const traced = Run.outputs(nodes).pipe(Effect.withTracer(tracer))
      yield* traced
      const first = names.splice(0).filter((name) => name.startsWith("hungry"))
      assert.sameMembers([...new Set(first)], ["hungry a", "hungry b"])
      yield* traced
      assert.sameMembers(
        names.filter((name) => name.startsWith("hungry")),
        ["hungry a", "hungry b"],
      )
    }).pipe(Effect.provide(Store.layerMemory)),
  )
})

describe("A run that keeps going", () => {
  const steps = (calls: Array<string>) => {
    const fails = Stage.make({ name: "fails", version: 1, output: One, run: () => Effect.fail(new Flaky()) })
    const works = Stage.make({
      name: "works",
      version: 1,
      inputs: { one: One },
      params: { id: Schema.Int },
      output: One,
      run: ({ one }, { id }) =>
        Effect.delay(
          Effect.sync(() => (calls.push(`works ${id}`), one)),
          0,
        ),
    })
    const bad = fails({})
    const good = works({ one: Source.value(One, 1) }, { id: 1 })
    return { after: works({ one: bad }, { id: 2 }), next: works({ one: good }, { id: 3 }) }
  }

  it.live("makes everything that does not depend on the failure, and still fails with it", () =>
    Effect.gen(function* () {
      const calls: Array<string> = []
      const failed: Array<string> = []
      const emit = (event: { readonly _tag: string; readonly node?: string }) =>
        Effect.sync(() => void (event._tag === "Failed" && failed.push(event.node ?? "")))
      const error = yield* Run.outputs(steps(calls), { keepGoing: true }).pipe(
        Effect.provideService(Events, { emit }),
        Effect.flip,
      )
      assert.strictEqual(error.message, "not this time")
      assert.deepStrictEqual(calls, ["works 1", "works 3"])
      assert.deepStrictEqual(failed, ["fails"])
    }).pipe(Effect.provide(Layer.fresh(Store.layerMemory))),
  )
})
