import { assert, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { CausalModel, Checkpoint, type Example, LayerGroup, Runtime, VirtualMerge } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as ConflictInMerge from "../src/ConflictInMerge.ts"
import * as Statistics from "../src/Statistics.ts"
import { checkpointPath, written } from "./fixtures.ts"

const Live = Layer.mergeAll(Runtime.layerWith({ workers: 2, threads: 1 }), Stage.layerDetached)

const answers = (last: ReadonlyArray<number>) =>
  last.map((answer): Example.Example => ({
    prompt: "",
    response: "",
    tokens: [1, 51, 28, 223, 20, 35, 28, 223, answer, 201],
    promptLength: 7,
  }))
const golden = [answers([20, 21, 24]), answers([22, 30])]

const open = (member: string) => Checkpoint.open(checkpointPath(member))

/** Two experts, the second with two directions, in a merge by layer; coefficients by direction and layer. */
const merged = Effect.gen(function* () {
  const base = yield* open("base")
  const directions = yield* Effect.forEach(["math", "code", "lang"], open)
  const merge = yield* VirtualMerge.open(base, directions, LayerGroup.of)
  const weightOf = (direction: number, group: number) => 0.3 + 0.2 * direction - 0.05 * group
  const weights = Float32Array.from(
    directions.flatMap((_, direction) => merge.groups.map((_group, group) => weightOf(direction, group))),
  )
  return { base, directions, merge, weights, owners: [0, 1, 1] }
})

layer(Live)("conflict in a merge", (it) => {
  it.effect(
    "agrees with models that are written out, for the whole layer and for the expert's own part",
    () =>
      Effect.gen(function* () {
        const { base, directions, merge, owners, weights } = yield* merged
        const scratch = yield* Stage.scratch
        const count = merge.groups.length
        const layerOne = merge.groups.indexOf("model.layers.1")
        let models = 0
        /** Losses of base + Σ w (direction − base) in float32, by the weight that each direction has in each group. */
        const losses = Effect.fnUntraced(function* (
          examples: ReadonlyArray<Example.Example>,
          weightOf: (direction: number, group: number) => number,
        ) {
          const checkpoint = yield* written(base, join(scratch, `${models++}`), (name) =>
            Effect.gen(function* () {
              const from = yield* Checkpoint.readFloat32(base, name)
              const to = yield* Effect.forEach(directions, (each) => Checkpoint.readFloat32(each, name))
              const group = merge.groups.indexOf(LayerGroup.of(name))
              return from.map((value, i) =>
                to.reduce((sum, own, d) => sum + weightOf(d, group) * ((own[i] ?? 0) - value), value),
              )
            }),
          )
          const model = yield* CausalModel.open(checkpoint)
          return yield* model.losses(examples)
        }, Effect.scoped)
        const weight = (direction: number, group: number) => weights[direction * count + group]!

        // Of the expert with two directions.
        const expert = 1
        const own = (d: number, g: number) => (owners[d] === expert ? weight(d, g) : 0)
        const out = (of: typeof weight, gone: (d: number) => boolean) => (d: number, g: number) =>
          g === layerOne && gone(d) ? 0 : of(d, g)
        const only = (of: typeof weight) => (d: number, g: number) => (g === layerOne ? of(d, g) : 0)
        const at = (of: typeof weight) => losses(golden[expert]!, of)
        const [none, inOwn, inMerged] = [yield* at(() => 0), yield* at(own), yield* at(weight)]
        const [lostOwn, addedOwn] = [yield* at(out(own, () => true)), yield* at(only(own))]
        const worth = Array.from(none, (value, k) => lostOwn[k]! - inOwn[k]! + value - addedOwn[k]!)
        const expected = {
          all: { lost: yield* at(out(weight, () => true)), added: yield* at(only(weight)) },
          own: { lost: yield* at(out(weight, (d) => owners[d] === expert)), added: addedOwn },
        }
        for (const removed of ["all", "own"] as const) {
          const measure = yield* ConflictInMerge.make({ merge, owners, golden, weights, removed })
          const claim = (yield* measure(weights, [layerOne]))[0]![expert]!
          const { added, lost } = expected[removed]
          const conflict = worth.map((value, k) => value - (lost[k]! - inMerged[k]! + none[k]! - added[k]!))
          assert.closeTo(claim.worth, Statistics.mean(worth), 1e-5)
          assert.closeTo(claim.conflict, Statistics.mean(conflict), 1e-5)
          assert.closeTo(claim.standardError, Statistics.standardError(conflict), 1e-5)
        }
      }),
  )

  it.effect(
    "is 0 for an expert alone, whatever its coefficient, and all of c where the merge has lost the layer",
    () =>
      Effect.gen(function* () {
        const { merge, weights } = yield* merged
        const alone = {
          merge,
          owners: [0, 0, 0],
          golden: golden.slice(0, 1),
          weights,
          removed: "all",
        } as const
        const measure = yield* ConflictInMerge.make(alone)
        const groups = [...merge.groups.keys()]
        for (const [claim] of yield* measure(weights, groups)) assert.strictEqual(claim!.conflict, 0)
        const first = merge.groups.indexOf("model.layers.0")
        const without = weights.map((weight, i) => (i % merge.groups.length === first ? 0 : weight))
        const [[claim] = []] = yield* measure(without, [first])
        assert.isAbove(Math.abs(claim!.worth), 1e-3)
        assert.closeTo(claim!.conflict, claim!.worth, 1e-12)
      }),
  )

  it.effect("needs two golden examples of every expert", () =>
    Effect.gen(function* () {
      const input = { ...(yield* merged), golden: [golden[0]!, answers([20])], removed: "all" } as const
      const { message } = yield* Effect.flip(ConflictInMerge.make(input))
      assert.include(message, "needs 2 golden examples or more")
    }),
  )
})
