import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Runtime } from "../src/index.ts"
import { argMax, example, fixture, openModel, sums } from "./support/models.ts"

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("CausalModel.logLikelihoods", (it) => {
  it.effect("is minus the loss times the length, whether rows share a pass or not", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      const tokenizer = yield* model.tokenizer
      const context = yield* tokenizer.encode("Q: 83-61\nA:")
      // Four one-token choices of one context, and continuations of other lengths.
      const rows = [
        ...[20, 21, 22, 23].map((token) => ({
          tokens: [...context, token],
          contextLength: context.length,
        })),
        { tokens: yield* tokenizer.encode("Q: 83-61\nA: 22\n"), contextLength: context.length },
        { tokens: yield* tokenizer.encode("Q: 1+1\nA: 2\n"), contextLength: 1 },
      ]
      const scored = yield* model.logLikelihoods(rows)
      const losses = yield* model.losses(rows.map((row) => example(row.tokens, row.contextLength)))
      rows.forEach(({ contextLength, tokens }, i) => {
        const expected = -(losses[i] ?? Number.NaN) * (tokens.length - contextLength)
        assert.isAtMost(Math.abs((scored[i]?.sum ?? Number.NaN) - expected), 1e-4, `row ${i}`)
      })
      const vocabulary = model.shape.vocabSize
      const [logits = new Float32Array()] = yield* model.logits([context])
      const best = argMax(logits.subarray(-vocabulary))
      const [greedy] = yield* model.logLikelihoods([
        { tokens: [...context, best], contextLength: context.length },
      ])
      assert.isTrue(greedy?.isGreedy)
      assert.deepStrictEqual(
        scored.slice(0, 4).map(({ isGreedy }) => isGreedy),
        [20, 21, 22, 23].map((token) => token === best),
      )
    }),
  )

  it.effect("is the same over a shared context as alone, whatever the lengths", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      const tokenizer = yield* model.tokenizer
      // Contexts of different lengths with continuations of 1 to 9 tokens, and two rows without a partner.
      const contexts = yield* tokenizer.encodeAll(sums(6).map((text, i) => text.repeat(1 + (i % 3))))
      const rows = [
        ...contexts.flatMap((context, i) =>
          Array.from({ length: 1 + i }, (_, j) => ({
            tokens: [
              ...context,
              ...Array.from({ length: 1 + ((i + 3 * j) % 9) }, (_, k) => 20 + ((i + j + k) % 30)),
            ],
            contextLength: context.length,
          })),
        ),
        { tokens: [1, 30, 31, 32], contextLength: 1 },
        { tokens: [1, 40], contextLength: 1 },
      ]
      const together = yield* model.logLikelihoods(rows)
      for (const [i, row] of rows.entries()) {
        const [alone] = yield* model.logLikelihoods([row])
        assert.closeTo(together[i]?.sum ?? Number.NaN, alone?.sum ?? 0, 1e-4, `row ${i}`)
        assert.strictEqual(together[i]?.isGreedy, alone?.isGreedy)
      }
    }),
  )

  it.effect("refuses a row without context or continuation", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      for (const contextLength of [0, 3]) {
        const error = yield* Effect.flip(model.logLikelihoods([{ tokens: [1, 2, 3], contextLength }]))
        assert.include(
          error.message,
          `row 0: expected a context of 1…2 of its 3 tokens, got ${contextLength}`,
        )
      }
    }),
  )

  it.effect("stops continuations of tokens at a stop string", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      const prompt = yield* (yield* model.tokenizer).encode("Q: 83-61\nA:")
      const [free] = yield* model.continue([prompt], { maxTokens: 8 })
      const [stopped] = yield* model.continue([prompt], { maxTokens: 8, stop: ["\n"] })
      assert.strictEqual(stopped?.end, "stop")
      assert.deepStrictEqual(stopped?.tokens, free?.tokens.slice(0, stopped?.tokens.length))
    }),
  )
})
