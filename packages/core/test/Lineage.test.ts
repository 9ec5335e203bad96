import { Artifact, Lineage, type Node, Run, Source, Stage, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { mkdtemp, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"

const Num = Artifact.json("number", Schema.Finite, { summary: String })

const times = Stage.make({
  name: "times",
  version: 1,
  inputs: { value: Num },
  params: { by: Schema.Finite },
  output: Num,
  run: ({ value }, { by }) => Effect.succeed(value * by),
})

const add = Stage.make({
  name: "add",
  version: 1,
  inputs: { left: Num, right: Num },
  output: Num,
  run: ({ left, right }) => Effect.succeed(left + right),
})

/** The tree of what a node's content came from, without what differs from run to run. */
const lineage = (node: Node.StageNode<number, never, never>) =>
  Effect.gen(function* () {
    yield* Run.outputs({ node })
    const { actions } = yield* Store
    const last = (yield* actions).find((action) => action.label === node.label)
    const origin = yield* Lineage.of(last?.digest ?? "")
    return origin === undefined
      ? ""
      : Lineage.render(origin).replaceAll(/ · [0-9a-f]{8}(?= |$)| · \d{4}-\S+/gm, "")
  })

describe("Lineage", () => {
  it.effect("goes through a stage that left its input as it was", () =>
    Effect.gen(function* () {
      const five = times({ value: Source.value(Num, 1) }, { by: 5 }, "five")
      yield* Run.outputs({ five })
      const tree = yield* lineage(times({ value: five }, { by: 1 }, "same"))
      const [top, ...below] = tree.split("\n")
      assert.match(top ?? "", /^times (five|same) v1/)
      assert.strictEqual(
        below.at(-1)?.trim(),
        "value: a value written in the pipeline, or a source that is gone",
      )
      assert.match(tree, /times five v1 · 5 · by=5\n +value: a value/)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("ends at the source where a stage leaves a source as it is", () =>
    Effect.gen(function* () {
      const tree = yield* lineage(times({ value: Source.value(Num, 7) }, { by: 1 }, "same"))
      assert.strictEqual(
        tree,
        "times same v1 · 7 · by=1\n  value: a value written in the pipeline, or a source that is gone",
      )
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("ends where two stages make each other's input", () =>
    Effect.gen(function* () {
      const there = times({ value: Source.value(Num, 1) }, { by: -1 }, "there")
      const tree = yield* lineage(times({ value: there }, { by: -1 }, "back"))
      assert.strictEqual(tree.split("\n").length, 3)
      assert.match(tree, /value: a value written in the pipeline/)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("names who had made the content when it was taken, not who made the same again later", () =>
    Effect.gen(function* () {
      const one = Source.value(Num, 1)
      const five = times({ value: one }, { by: 5 }, "five")
      yield* Run.outputs({ five })
      yield* TestClock.adjust("1 minute")
      const ten = times({ value: five }, { by: 2 }, "ten")
      yield* Run.outputs({ ten })
      yield* TestClock.adjust("1 minute")
      yield* Run.outputs({ again: times({ value: Source.value(Num, 10) }, { by: 0.5 }, "again") })
      assert.match(yield* lineage(ten), /^times ten .*\n {2}value: times five /)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("traces what many stages share once, and names it once", () =>
    Effect.gen(function* () {
      const depth = 24
      let node = times({ value: Source.value(Num, 1) }, { by: 3 }, "first")
      for (let i = 0; i < depth; i++) node = add({ left: node, right: node }, {}, `sum ${i}`)
      const tree = yield* lineage(node)
      assert.strictEqual(tree.split("\n").length, 2 * depth + 2)
      assert.match(tree, /right: .*\(see above\)$/m)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("finds a file of a produced directory by its own digest, and where a source file lay", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      const given = join(root, "given.json")
      yield* Effect.promise(() => writeFile(given, "2\n"))
      const Files = Artifact.directory("files")
      const spread = Stage.make({
        name: "spread",
        version: 1,
        inputs: { value: Num },
        output: Files,
        run: ({ value }) =>
          Effect.promise(async () => {
            const path = join(await mkdtemp(join(root, "made-")), "x.txt")
            await writeFile(path, `it is ${value}`)
            return { files: { "x.txt": path } }
          }),
      })
      const { out } = yield* Run.outputs({ out: spread({ value: Source.file(given, Num) }) })
      const { actions, manifest } = yield* Store
      const [action] = yield* actions
      const [inside] = yield* manifest(action?.digest ?? "")
      assert.deepStrictEqual(Object.keys(out.files), ["x.txt"])
      const origin = yield* Lineage.of(inside?.digest.slice(0, 12) ?? "")
      assert.strictEqual(origin?.action?.ingredients.stage, "spread")
      assert.isUndefined(yield* Lineage.of("f".repeat(64)))
    }).pipe(Effect.provide(Store.layerMemory)),
  )
})
