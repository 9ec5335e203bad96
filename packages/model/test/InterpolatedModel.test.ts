import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Checkpoint, InterpolatedGates, InterpolatedModel, Runtime } from "../src/index.ts"
import { architectures } from "./support/fixtures.ts"
import { distance, example, fixture, openDelta, openModel, sums } from "./support/models.ts"

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("InterpolatedModel", (it) => {
  const examples = Effect.gen(function* () {
    const { encodeAll } = yield* (yield* openModel(fixture("base"))).tokenizer
    const prompts = yield* encodeAll(sums(12))
    const rows = yield* encodeAll(sums(12).map((prompt, i) => `${prompt} ${i}\n`))
    return rows.map((row, i) => example(row, prompts[i]?.length ?? NaN))
  })

  it.effect("is the base with every gate at zero and the expert with every gate at one", () =>
    Effect.gen(function* () {
      const delta = yield* openDelta(fixture("base"), fixture("lang"))
      const golden = yield* examples
      for (const [value, name] of [
        [0, "base"],
        [1, "lang"],
      ] as const) {
        const expected = yield* (yield* openModel(fixture(name))).losses(golden)
        const losses = yield* delta.losses(golden, InterpolatedGates.filled(delta.shape, value))
        assert.isAtMost(distance(losses, expected), 1e-5, name)
      }
    }),
  )

  it.effect("moves by a layer as by all of its units, and has the sum of their derivatives", () =>
    Effect.gen(function* () {
      const delta = yield* openDelta(fixture("base"), fixture("lang"))
      const zero = InterpolatedGates.filled(delta.shape, 0)
      const parts = [
        ...[0, 1, 2, 3].map((index) => ({ kind: "kvGroup", layer: 2, index }) as const),
        { kind: "mlp", layer: 2, index: 0 } as const,
      ]
      const unit = { kind: "layer", layer: 2, index: 0 } as const
      const joined = parts.reduce((gates, part) => InterpolatedGates.with(gates, delta.shape, part, 1), zero)
      assert.deepStrictEqual(InterpolatedGates.with(zero, delta.shape, unit, 1), joined)
      const [gradient] = yield* delta.gradients((yield* examples).slice(0, 1), zero)
      const sum = parts.reduce(
        (total, part) => total + InterpolatedGates.along(gradient!.gates, delta.shape, part),
        0,
      )
      assert.closeTo(InterpolatedGates.along(gradient!.gates, delta.shape, unit), sum, 1e-9)
    }),
  )

  it.effect("moves by a key-value group as by its query heads and its key-value head together", () =>
    Effect.gen(function* () {
      const delta = yield* openDelta(fixture("base"), fixture("lang"))
      const golden = yield* examples
      const zero = InterpolatedGates.filled(delta.shape, 0)
      const group = InterpolatedGates.with(zero, delta.shape, { kind: "kvGroup", layer: 2, index: 1 }, 1)
      const parts = [
        { kind: "queryHead", layer: 2, index: 2 },
        { kind: "queryHead", layer: 2, index: 3 },
        { kind: "kvHead", layer: 2, index: 1 },
      ] as const
      const joined = parts.reduce((gates, unit) => InterpolatedGates.with(gates, delta.shape, unit, 1), zero)
      assert.deepStrictEqual(joined, group)
      assert.isTrue(zero.queryHeads.every((gate) => gate === 0))
      const moved = yield* delta.losses(golden, group)
      assert.isAbove(distance(moved, yield* delta.losses(golden, zero)), 1e-4)
    }),
  )

  it.effect("refuses gates of another shape", () =>
    Effect.gen(function* () {
      const delta = yield* openDelta(fixture("base"), fixture("math"))
      const gates = { ...InterpolatedGates.filled(delta.shape, 1), mlp: new Float32Array(5) }
      const error = yield* Effect.flip(delta.losses(yield* examples, gates))
      assert.strictEqual(error.blame, "input")
      assert.include(
        error.message,
        "expected 32, 16, 4 numbers (query heads, key-value heads, MLPs), got 32, 16, 5",
      )
    }),
  )

  it.effect("refuses an expert of another shape", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(fixture("base"))
      const config = { ...base.config, rope_parameters: { rope_theta: 500000, rope_type: "default" } }
      const error = yield* Effect.flip(InterpolatedModel.open(base, { ...base, config }))
      assert.strictEqual(error.blame, "input")
      assert.include(error.message, "attention.0.rope.theta: expected 10000, got 500000")
    }),
  )

  it.effect("agrees with biased layers at both ends", () =>
    Effect.gen(function* () {
      const directory = architectures.find(([name]) => name === "llama-mha-bias")?.[1] ?? ""
      const delta = yield* openDelta(directory, directory)
      const model = yield* openModel(directory)
      const rows = [example([1, 5, 9, 34, 8, 20], 1), example([3, 15, 2, 37], 2)]
      const expected = yield* model.losses(rows)
      for (const value of [0, 0.3, 1]) {
        const losses = yield* delta.losses(rows, InterpolatedGates.filled(delta.shape, value))
        assert.isAtMost(distance(losses, expected), 2e-6)
      }
    }),
  )
})
