import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Result } from "effect"
import { truncate } from "node:fs/promises"
import { join } from "node:path"
import { AblationGates, BlockModel, CausalModel, Checkpoint, type Example, Runtime } from "../src/index.ts"
import { runtimeBytes } from "../src/blocks/Budget.ts"
import * as Decoder from "../src/graphs/Decoder.ts"
import * as Weights from "../src/graphs/Weights.ts"
import { within } from "./support/pool.ts"
import type { ModelShape } from "../src/architectures/ModelShape.ts"
import { encode } from "../src/onnx/Encode.ts"
import * as Graph from "../src/onnx/Graph.ts"
import { gradients } from "../src/onnx/Reverse.ts"
import * as Batches from "../src/runtime/Batches.ts"
import * as Losses from "../src/runtime/Losses.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import { architectures, temporary } from "./support/fixtures.ts"
import { distance, example, fixture, openModel } from "./support/models.ts"
import * as RandomCheckpoint from "./support/randomCheckpoint.ts"

/** Of different lengths, with targets in several slices of the vocabulary. */
const examples = [
  example([1, 51, 28, 223, 26, 21, 15], 3),
  example([1, 42, 71, 78], 1),
  example([1, 51, 28, 223, 26, 318, 15, 9, 310, 4, 12], 6),
]

/** Gates that are no whole numbers, so that a gate in the wrong place shows. */
const someGates = (shape: ModelShape): AblationGates.AblationGates => {
  const gates = AblationGates.filled(shape, 1)
  gates.heads.forEach((_, i) => (gates.heads[i] = 0.5 + (i % 7) / 7))
  gates.mlp.forEach((_, i) => (gates.mlp[i] = 1 - i / 9))
  return gates
}

/** Small layers under a large vocabulary. */
const narrow: RandomCheckpoint.RandomShape = {
  layers: 2,
  hiddenSize: 32,
  intermediateSize: 48,
  heads: 4,
  kvHeads: 2,
  vocabSize: 1501,
  tied: true,
}

/** Memory for one block and a little more, so that every other one passes through. */
const tight = runtimeBytes + 3 * 2 ** 20

const openBlocks = Effect.fnUntraced(function* (directory: string, memory: number) {
  return yield* BlockModel.open(yield* Checkpoint.open(directory), { memory })
})

/** ∂ loss / ∂ gate by one graph that holds the whole model and its derivative. */
const wholeGradient = Effect.fnUntraced(function* (
  { checkpoint, shape }: BlockModel.BlockModel,
  gates: AblationGates.AblationGates,
  rows: ReadonlyArray<Example.Example> = examples,
) {
  const graph = Result.getOrThrow(
    Graph.build("whole", (builder) => {
      const inputs = {
        heads: builder.input("gates.heads", "f32", [shape.layers.length, shape.heads]),
        mlp: builder.input("gates.mlp", "f32", [shape.layers.length]),
      }
      const weights = Weights.stored(builder, checkpoint.tensors)
      const outputs = Decoder.decoder(builder, shape, weights, { gates: inputs, cache: false })
      const { logLikelihood } = outputs
      const adjoint = builder.input("adjoint", "f32", ["rows"])
      const [heads, mlp] = gradients([{ of: logLikelihood, adjoint }], [inputs.heads, inputs.mlp])
      return { heads, mlp }
    }),
  )
  const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
  const program = yield* pool.open("whole", encode(graph), 0)
  return yield* Effect.forEach(rows, ({ promptLength, tokens }) =>
    program.lease((lease) => {
      const targets = tokens.slice(promptLength)
      const places = targets.map((target, i) => ({ sequence: 0, position: promptLength - 1 + i, target }))
      const feeds = {
        ...Batches.feeds([tokens.slice(0, -1)], places, "right"),
        "gates.heads": Batches.float32(gates.heads.slice(), [shape.layers.length, shape.heads]),
        "gates.mlp": Batches.float32(gates.mlp.slice(), [shape.layers.length]),
        adjoint: Batches.float32(new Float32Array(targets.length).fill(-1 / targets.length), [
          targets.length,
        ]),
      }
      return Effect.map(lease.run(feeds, ["heads", "mlp"]), ({ heads, mlp }) => ({
        heads: Losses.float32(heads),
        mlp: Losses.float32(mlp),
      }))
    }),
  )
})

layer(Runtime.layerWith({ threads: 2 }))("BlockModel", (it) => {
  it.effect("gives the losses of the whole model, whether all blocks stay in memory or pass through it", () =>
    Effect.gen(function* () {
      const whole = yield* openModel(fixture("math"))
      const gates = someGates(whole.shape)
      const expected = [yield* whole.losses(examples), yield* whole.losses(examples, { gates })]
      for (const memory of [2 ** 30, tight]) {
        const blocks = yield* openBlocks(fixture("math"), memory)
        assert.strictEqual(blocks.budget.slab > 0, memory === tight)
        const losses = [yield* blocks.losses(examples), yield* blocks.losses(examples, { gates })]
        // Sums in another order: a few units in the last place of float32.
        for (const [i, own] of losses.entries()) assert.isAtMost(distance(own, expected[i]!), 4e-6)
      }
    }),
  )

  it.effect("gives the gradients of the whole model, one per example", () =>
    Effect.gen(function* () {
      const blocks = yield* openBlocks(fixture("base"), tight)
      const gates = someGates(blocks.shape)
      const expected = yield* wholeGradient(blocks, gates)
      const found = yield* blocks.gradients(examples, { gates })
      const losses = yield* blocks.losses(examples, { gates })
      for (const [i, { gates: gradient, loss }] of found.entries()) {
        assert.isAtMost(Math.abs(loss - losses[i]!), 1e-6)
        const { heads, mlp } = expected[i]!
        const largest = Math.max(...[...heads, ...mlp].map(Math.abs))
        assert.isAtMost(distance(gradient.heads, heads) / largest, 2e-5)
        assert.isAtMost(distance(gradient.mlp, mlp) / largest, 2e-5)
      }
    }),
  )

  it.effect("refuses a budget that is too small for one block, and says what it needs", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(openBlocks(fixture("base"), 100 * 2 ** 20))
      assert.strictEqual(error._tag, "ModelError")
      assert.strictEqual(error.blame, "input")
      assert.match(error.message, /a memory budget of 100 MiB is too small: .* make 258 MiB$/)
      yield* openBlocks(fixture("base"), 258 * 2 ** 20)
    }),
  )

  it.effect("refuses tokens and gates the model does not have", () =>
    Effect.gen(function* () {
      const blocks = yield* openBlocks(fixture("base"), tight)
      const message = <A>(effect: Effect.Effect<A, { readonly message: string }>) =>
        Effect.map(Effect.flip(effect), (error) => error.message)
      assert.match(yield* message(blocks.losses([example([1, 5000], 1)])), /expected tokens in 0…/)
      const gates = { heads: new Float32Array(3), mlp: new Float32Array(1) }
      assert.match(yield* message(blocks.gradients(examples, { gates })), /gates: expected 4 × 8 heads/)
    }),
  )
})

describe("BlockModel", () => {
  it.effect("fails what a dead worker was doing, and loads everything again in a new one", () =>
    Effect.gen(function* () {
      const entry = new URL("support/mortal-block-worker.ts", import.meta.url)
      const pool = yield* WorkerPool.make({ threads: 1 }, entry)
      const checkpoint = yield* Checkpoint.open(fixture("base"))
      const blocks = yield* BlockModel.open(checkpoint, { memory: 2 ** 30 }).pipe(within(pool))
      const first = yield* blocks.losses(examples)
      const { message } = yield* Effect.flip(blocks.losses(examples))
      assert.match(
        message,
        /the worker thread stopped with exit code 7; run it again, the pool starts a new one$/,
      )
      assert.deepStrictEqual(yield* blocks.losses(examples), first)
    }),
  )

  it.effect("says which file has become shorter under a model that is open", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const checkpoint = yield* RandomCheckpoint.write(directory, narrow)
      const pool = yield* WorkerPool.make({ threads: 1 })
      const blocks = yield* BlockModel.open(checkpoint, { memory: 2 ** 30 }).pipe(within(pool))
      yield* Effect.promise(() => truncate(join(directory, "model.safetensors"), 20_000))
      const error = yield* Effect.flip(blocks.losses([example([1, 2, 3], 1)]))
      assert.strictEqual(error.blame, "input")
      assert.match(error.message, /model\.safetensors has become shorter since its header was read$/)
    }),
  )

  it.effect("gives the whole model's losses and gradients where the head goes by in many slices", () =>
    Effect.gen(function* () {
      const checkpoint = yield* RandomCheckpoint.write(yield* temporary, narrow)
      const pool = yield* WorkerPool.make({ threads: 1 })
      const blocks = yield* BlockModel.open(checkpoint, { memory: runtimeBytes + 2 ** 16 }).pipe(within(pool))
      const whole = yield* CausalModel.open(checkpoint).pipe(within(pool))
      // One target in each slice of the vocabulary.
      const tokens = Array.from({ length: 40 }, (_, i) => (i * 613) % narrow.vocabSize)
      const rows = [example(tokens, 1), example(tokens.toReversed(), 20)]
      assert.isAtMost(distance(yield* blocks.losses(rows), yield* whole.losses(rows)), 2e-6)
      const gates = AblationGates.filled(blocks.shape, 1)
      const expected = yield* wholeGradient(blocks, gates, rows)
      for (const [i, { gates: gradient }] of (yield* blocks.gradients(rows)).entries()) {
        const { heads, mlp } = expected[i]!
        const largest = Math.max(...[...heads, ...mlp].map(Math.abs))
        assert.isAtMost(distance(gradient.heads, heads) / largest, 1e-4)
        assert.isAtMost(distance(gradient.mlp, mlp) / largest, 1e-4)
      }
    }),
  )
})

/** Fused, transposed and parallel layouts, tables of positions, soft caps, and layers that differ from one another. */
const unlike = new Set(["cohere", "gemma3", "gemma2", "gpt-neox", "gpt2", "phi3", "smollm3"])

describe("BlockModel", () => {
  layer(Runtime.layerWith({ workers: 1, threads: 2 }))((it) => {
    for (const [name, path] of architectures.filter(([own]) => unlike.has(own))) {
      it.effect(`runs ${name} block by block as the whole graph does`, () =>
        Effect.gen(function* () {
          const whole = yield* openModel(path)
          const blocks = yield* openBlocks(path, runtimeBytes + 2 ** 20)
          const tokens = Array.from({ length: 28 }, (_, i) => 1 + ((i * 7) % (whole.shape.vocabSize - 1)))
          const rows = [example(tokens, 2), example(tokens.slice(3, 12), 4)]
          const gates = someGates(whole.shape)
          const [expected, found] = [
            yield* whole.losses(rows, { gates }),
            yield* blocks.losses(rows, { gates }),
          ]
          assert.isAtMost(distance(found, expected), 1e-5)
          const again = yield* blocks.gradients(rows, { gates })
          assert.isAtMost(
            distance(
              again.map(({ loss }) => loss),
              expected,
            ),
            1e-5,
          )
        }),
      )
    }
  })
})
