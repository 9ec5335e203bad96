import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import {
  CausalModel,
  Checkpoint,
  InterpolatedGates,
  InterpolatedModel,
  Runtime,
  UnitInterventions,
  VirtualMerge,
} from "../src/index.ts"
import * as Spans from "../src/runtime/Spans.ts"
import { distance, example, fixture, sums } from "./support/models.ts"

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("UnitInterventions", (it) => {
  const examples = sums(7).map((text, i) => example([1, ...Buffer.from(text.repeat(1 + (i % 2)))], 3 + i))
  const units = [
    { kind: "queryHead", layer: 2, index: 3 },
    { kind: "mlp", layer: 2, index: 0 },
    { kind: "kvHead", layer: 0, index: 1 },
    { kind: "kvGroup", layer: 2, index: 1 },
    { kind: "layer", layer: 3, index: 0 },
  ] as const
  const open = (name: string) => Checkpoint.open(fixture(name))

  it.effect("has the losses of the whole models with the same unit moved, from either end", () =>
    Effect.gen(function* () {
      const [base, expert] = [yield* open("base"), yield* open("math")]
      const delta = yield* InterpolatedModel.open(base, expert)
      for (const [from, at, step] of [
        [expert, 1, -1],
        [base, 0, 1],
        [base, 0, 0.3],
      ] as const) {
        const moves = yield* UnitInterventions.openMoves({ from, base, expert }, examples)
        const found = yield* moves.losses(units.map((unit) => ({ unit, step })))
        for (const [i, unit] of units.entries()) {
          const gates = InterpolatedGates.with(
            InterpolatedGates.filled(delta.shape, at),
            delta.shape,
            unit,
            at + step,
          )
          assert.isAtMost(distance(found[i]!, yield* delta.losses(examples, gates)), 4e-6, unit.kind)
        }
      }
    }),
  )

  it.effect("moves a third model along the change between two", () =>
    Effect.gen(function* () {
      const [base, expert, from] = [yield* open("base"), yield* open("math"), yield* open("code")]
      const merge = yield* VirtualMerge.open(base, [from, expert], (tensor) =>
        tensor.includes(".2.mlp") ? "mlp" : /\.3\..*_proj/.test(tensor) ? "layer" : "rest",
      )
      const moves = yield* UnitInterventions.openMoves({ from, base, expert }, examples)
      const found = yield* moves.losses(
        [units[1], units[4]].map((unit) => ({ unit: { ...unit }, step: -0.4 })),
      )
      for (const [i, group] of ["mlp", "layer"].entries()) {
        const step = merge.groups.map((own) => (own === group ? -0.4 : 0))
        const lambdas = Float32Array.of(...merge.groups.map(() => 1), ...step)
        assert.isAtMost(distance(found[i]!, yield* merge.losses(examples, lambdas)), 4e-6, group)
      }
      assert.isAtMost(
        distance(yield* moves.unmoved, yield* (yield* CausalModel.open(from)).losses(examples)),
        4e-6,
      )
    }),
  )

  it.effect("starts before the layer, or the first of some, whichever is less work", () =>
    Effect.gen(function* () {
      const [base, expert] = [yield* open("base"), yield* open("math")]
      const { shape } = yield* InterpolatedModel.open(base, expert)
      const starts = (tokens: number) => Spans.plan(shape, tokens).map(({ start }) => start)
      assert.deepStrictEqual(starts(100), [0])
      assert.deepStrictEqual(starts(10_000), [0, 1, 2, 3])
      const layers = Array.from({ length: 7 }, () => shape.layers[0]!)
      assert.deepStrictEqual(Spans.plan({ ...shape, layers, hiddenSize: 64 }, 1000).at(-1)?.end, 7)
      const many = Array.from({ length: 600 }, (_, i) => examples[i % examples.length]!)
      const width = many.reduce((sum, { tokens }) => sum + tokens.length - 1, 0)
      assert.isAbove(starts(width).length, 2)
      const found = yield* (yield* UnitInterventions.openMoves({ from: base, base, expert }, many)).losses(
        units.slice(0, 3).map((unit) => ({ unit, step: 1 })),
      )
      const few = yield* (yield* UnitInterventions.openMoves({ from: base, base, expert }, examples)).losses(
        units.slice(0, 3).map((unit) => ({ unit, step: 1 })),
      )
      for (const [i, losses] of few.entries()) {
        assert.isAtMost(distance(found[i]!.subarray(0, examples.length), losses), 4e-6)
      }
    }),
  )

  it.effect("refuses a layer the model does not have, and examples without a response", () =>
    Effect.gen(function* () {
      const [base, expert] = [yield* open("base"), yield* open("math")]
      const models = { from: expert, base, expert }
      const moves = yield* UnitInterventions.openMoves(models, examples)
      const unit = { kind: "mlp", layer: 4, index: 0 } as const
      const error = yield* Effect.flip(moves.losses([{ unit, step: 1 }]))
      assert.strictEqual(error.blame, "input")
      assert.include(error.message, "expected units of layers 0…3, got one of layer 4")
      const without = yield* Effect.flip(UnitInterventions.openMoves(models, [example([1, 2, 3], 3)]))
      assert.include(without.message, "example 0: expected a prompt of 1…2 of its 3 tokens, got 3")
    }),
  )
})
