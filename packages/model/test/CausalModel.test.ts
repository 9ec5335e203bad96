import { assert, describe, layer } from "@effect/vitest"
import { Effect, Result } from "effect"
import { closeSync, cpSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import { AblationGates, Checkpoint, Runtime } from "../src/index.ts"
import { decoder } from "../src/graphs/Decoder.ts"
import * as Weights from "../src/graphs/Weights.ts"
import { encode } from "../src/onnx/Encode.ts"
import * as Graph from "../src/onnx/Graph.ts"
import * as Batches from "../src/runtime/Batches.ts"
import * as Losses from "../src/runtime/Losses.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import { temporary } from "./support/fixtures.ts"
import { argMax, distance, example, fixture, openModel, sums } from "./support/models.ts"

/** Float32 results of differently shaped products agree to a few units in the last place of the largest logit. */
const tolerance = 2e-5

const rowsOf = Effect.fnUntraced(function* (count: number) {
  const model = yield* openModel(fixture("math"))
  const tokenizer = yield* model.tokenizer
  const rows = yield* tokenizer.encodeAll(sums(count).map((text, i) => `${text} ${"7".repeat(i % 5)}\n`))
  return { model, rows }
})

layer(Runtime.layerWith({ workers: 2, threads: 2 }))("CausalModel", (it) => {
  describe("logits and losses", () => {
    it.effect("do not depend on what else is in the batch, or on its padding", () =>
      Effect.gen(function* () {
        const { model, rows } = yield* rowsOf(40)
        const together = yield* model.logits(rows)
        const examples = rows.map((tokens) => example(tokens, 4))
        const losses = yield* model.losses(examples)
        for (const i of [0, 3, 17, 39]) {
          const [alone] = yield* model.logits([rows[i] ?? []])
          assert.isAtMost(distance(alone ?? [], together[i] ?? []), tolerance * 20, `row ${i}`)
          const one = yield* model.losses([example(rows[i] ?? [], 4)])
          assert.isAtMost(Math.abs((one[0] ?? NaN) - (losses[i] ?? NaN)), 1e-6, `loss ${i}`)
        }
      }),
    )

    it.effect("agree: a loss is the mean of −log softmax at the response's tokens", () =>
      Effect.gen(function* () {
        const { model, rows } = yield* rowsOf(3)
        const logits = yield* model.logits(rows)
        const losses = yield* model.losses(rows.map((tokens) => example(tokens, 5)))
        const vocabulary = model.shape.vocabSize
        rows.forEach((tokens, i) => {
          let sum = 0
          for (let t = 5; t < tokens.length; t++) {
            const at = (logits[i] ?? new Float32Array()).subarray((t - 1) * vocabulary, t * vocabulary)
            const total = at.reduce((s, v) => s + Math.exp(v), 0)
            sum += Math.log(total) - (at[tokens[t] ?? 0] ?? NaN)
          }
          assert.isAtMost(Math.abs((losses[i] ?? NaN) - sum / (tokens.length - 5)), 1e-6)
        })
      }),
    )

    it.effect("with every gate at one are those of a graph without gates or cache", () =>
      Effect.gen(function* () {
        const { model, rows } = yield* rowsOf(4)
        const graph = Result.getOrThrow(
          Graph.build("plain", (builder) =>
            decoder(builder, model.shape, Weights.stored(builder, model.checkpoint.tensors), {
              cache: false,
            }),
          ),
        )
        const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
        const program = yield* pool.open("plain", encode(graph), 0)
        const examples = rows.map((tokens) => example(tokens, 3))
        const plain = yield* Losses.losses("plain", model.shape, program, examples, () => ({}))
        const ones = yield* model.losses(examples, { gates: AblationGates.filled(model.shape, 1) })
        assert.isAtMost(distance(plain, ones), 1e-6)
      }),
    )

    it.effect("ignore the layers when every gate is zero", () =>
      Effect.gen(function* () {
        const { model } = yield* rowsOf(1)
        const gates = AblationGates.filled(model.shape, 0)
        // Without layers a position knows only its own token, so equal tokens have equal logits.
        const [row = new Float32Array()] = yield* model.logits([[1, 50, 60, 50]], { gates })
        const at = (position: number) =>
          row.slice(position * model.shape.vocabSize, (position + 1) * model.shape.vocabSize)
        assert.isAtMost(distance(at(1), at(3)), 1e-6)
        assert.isAbove(distance(at(1), at(2)), 1e-2)
      }),
    )

    it.effect(
      "refuse tokens of another vocabulary, empty rows, rows beyond the positions, and wrong gates",
      () =>
        Effect.gen(function* () {
          const { model } = yield* rowsOf(1)
          const problem = <A>(
            effect: Effect.Effect<A, { readonly message: string; readonly blame: string }>,
          ) => Effect.map(Effect.flip(effect), ({ blame, message }) => `${blame}: ${message}`)
          assert.include(
            yield* problem(model.logits([[1, 320]])),
            "row 0: expected tokens in 0…319, got 320; is it another model's tokenizer?",
          )
          assert.include(yield* problem(model.logits([[]])), "row 0: expected at least one token, got none")
          assert.include(
            yield* problem(model.losses([example(Array<number>(257).fill(5), 3)])),
            "example 0: expected at most 256 tokens (the model's positions), got 257",
          )
          assert.include(yield* problem(model.losses([example([1, 2], 2)])), "expected a prompt of 1…1")
          const gates = { heads: new Float32Array(3), mlp: new Float32Array(4) }
          assert.match(
            yield* problem(model.logits([[1]], { gates })),
            /^input: .*expected 4 × 8 heads and 4 MLPs, got 3 and 4/,
          )
        }),
    )
  })

  it.effect("weights with NaN give an error that says so, for losses and for text", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      cpSync(fixture("math"), directory, { recursive: true })
      const { tensors } = yield* Checkpoint.open(directory)
      const file = openSync(join(directory, "model.safetensors"), "r+")
      // 0x7fc0 is NaN in bf16.
      writeSync(file, Uint8Array.of(0xc0, 0x7f), 0, 2, tensors.get("model.norm.weight")?.offset ?? 0)
      closeSync(file)
      const model = yield* openModel(directory)
      const loss = yield* Effect.flip(model.losses([example([1, 50, 60], 1)]))
      assert.include(loss.message, "the loss of example 0 is NaN: the weights hold NaN or infinite values")
      assert.strictEqual(loss.blame, "input")
      const text = yield* Effect.flip(model.generate(["Q:"], { maxTokens: 2 }))
      assert.include(text.message, "the next-token distribution is not finite")
    }),
  )

  describe("generation", () => {
    it.effect("with the cache writes the tokens of a full recomputation", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("code"))
        const tokenizer = yield* model.tokenizer
        const prompts = yield* tokenizer.encodeAll(["Q: rev('abcde')\nA:", "Q: len('abc')\nA:", "Q:"])
        const continued = yield* model.continue(prompts, { maxTokens: 12 })
        for (const [i, prompt] of prompts.entries()) {
          const tokens = [...prompt]
          for (const expected of continued[i]?.tokens ?? []) {
            const [logits = new Float32Array()] = yield* model.logits([tokens])
            assert.strictEqual(argMax(logits.slice(-model.shape.vocabSize)), expected)
            tokens.push(expected)
          }
        }
      }),
    )

    it.effect("is the same alone and in a batch of prompts of different lengths", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("math"))
        const prompts = [...sums(37), "Q: 1", "Q: es 77\nA: setenta y siete\nQ: 99-12\nA:"]
        const options = { maxTokens: 10, stop: ["\n"] }
        const together = yield* model.generate(prompts, options)
        for (const i of [0, 5, 36, 37, 38]) {
          const alone = yield* model.generate([prompts[i] ?? ""], options)
          assert.deepStrictEqual(alone[0], together[i])
        }
      }),
    )

    it.effect("ends at the stop string, which stays, or at the limit", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("math"))
        const tokenizer = yield* model.tokenizer
        const prompt = "Q: 87+45\nA:"
        const [stopped] = yield* model.generate([prompt], { maxTokens: 16, stop: ["never", "\n"] })
        assert.strictEqual(stopped?.response, " 132\n")
        assert.strictEqual(stopped?.end, "stop")
        const { promptLength = 0, tokens = [] } = stopped ?? {}
        assert.deepStrictEqual(tokens.slice(0, promptLength), yield* tokenizer.encode(prompt))
        assert.strictEqual(yield* tokenizer.decode(tokens, { skipSpecial: true }), `${prompt} 132\n`)
        const [limited] = yield* model.generate([prompt], { maxTokens: 2, stop: ["\n"] })
        assert.strictEqual(limited?.response, " 1")
        assert.strictEqual(limited?.end, "length")
        const [inside] = yield* model.generate([prompt], { maxTokens: 16, stop: ["13"] })
        assert.strictEqual(inside?.response, " 13")
      }),
    )

    it.effect("refuses a prompt that leaves no room for the response", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("base"))
        const error = yield* Effect.flip(model.generate(["1".repeat(250)], { maxTokens: 16 }))
        assert.strictEqual(error.blame, "input")
        assert.include(
          error.message,
          "prompt 0 has 251 tokens, with maxTokens 16 more than the model's 256 positions",
        )
        const none = yield* Effect.flip(model.generate(["1"], { maxTokens: 0 }))
        assert.include(none.message, "maxTokens: expected an integer of at least 1, got 0")
        assert.lengthOf(yield* model.generate(["1".repeat(239)], { maxTokens: 16 }), 1)
      }),
    )
  })

  describe("batches", () => {
    it.effect("hold every sequence once, similar lengths together, and stay within their bounds", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("base"))
        const lengths = Array.from({ length: 100 }, (_, i) => 1 + ((i * 53) % 97))
        const extents = lengths.map((length) => ({ length, total: length, rows: length }))
        const batches = Batches.plan(model.shape, extents)
        assert.deepStrictEqual(
          batches.flat().toSorted((a, b) => a - b),
          [...lengths.keys()],
        )
        const order = batches.flat().map((i) => lengths[i] ?? 0)
        assert.deepStrictEqual(
          order,
          order.toSorted((a, b) => b - a),
        )
        for (const batch of batches) assert.isAtMost(batch.length, 32)
        const large = { ...model.shape, vocabSize: 200_000 }
        const bounded = Batches.plan(large, extents)
        assert.isAbove(bounded.length, batches.length)
        assert.lengthOf(bounded.flat(), 100)
      }),
    )
  })
})
