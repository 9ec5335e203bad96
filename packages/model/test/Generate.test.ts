import { assert, describe, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Runtime } from "../src/index.ts"
import { fixture, openModel, sums } from "./support/models.ts"

/** Fiction the math model is unsure about, so that sampling has something to choose. */
const unsure = ["Q: es 41\nA:", "Once", "Q: 8", "Q: rev('ab", "The", "A: 17", "Q: 5+"]

layer(Runtime.layerWith({ workers: 2, threads: 2 }))("Sampled generation", (it) => {
  describe("a seed", () => {
    it.effect("gives the same text again, alone, in any batch and in any order", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("base"))
        const options = { maxTokens: 12, temperature: 1.5, topP: 0.99, seed: 11 }
        const together = yield* model.generate([...unsure, ...sums(35)], options)
        const reversed = yield* model.generate(unsure.toReversed(), options)
        for (const [i, prompt] of unsure.entries()) {
          const [alone] = yield* model.generate([prompt], options)
          assert.deepStrictEqual(alone, together[i])
          assert.deepStrictEqual(reversed[unsure.length - 1 - i], together[i])
        }
        const other = yield* model.generate(unsure, { ...options, seed: 12 })
        assert.notDeepEqual(
          other.map(({ response }) => response),
          together.slice(0, unsure.length).map(({ response }) => response),
        )
      }),
    )

    it.effect("gives each sample of a prompt a text of its own, the same however many are asked for", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("base"))
        const options = { maxTokens: 10, temperature: 1.5, seed: 3 }
        const three = yield* model.generate(["Once", "Q: 8"], { ...options, samples: 3 })
        assert.deepStrictEqual(
          three.map(({ prompt }) => prompt),
          ["Once", "Once", "Once", "Q: 8", "Q: 8", "Q: 8"],
        )
        assert.strictEqual(new Set(three.map(({ response }) => response)).size, 6)
        const one = yield* model.generate(["Once", "Q: 8"], options)
        assert.deepStrictEqual(one, [...three.slice(0, 1), ...three.slice(3, 4)])
        const many = yield* model.generate(["Once"], { ...options, samples: 40 })
        assert.deepStrictEqual(many.slice(0, 3), three.slice(0, 3))
        assert.isAbove(new Set(many.map(({ response }) => response)).size, 30)
      }),
    )
  })

  it.effect("draws first tokens as often as the model's distribution says", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("base"))
      const prompt = [1, 50, 60]
      const [logits = new Float32Array()] = yield* model.logits([prompt])
      const last = logits.slice(-model.shape.vocabSize)
      const weights = Array.from(last, (value) => Math.exp(value))
      const total = weights.reduce((sum, w) => sum + w, 0)
      const samples = 2000
      const drawn = yield* model.continue([prompt], { maxTokens: 1, temperature: 1, samples, seed: 1 })
      const counts = new Map<number, number>()
      for (const { tokens } of drawn) counts.set(tokens[0] ?? -1, (counts.get(tokens[0] ?? -1) ?? 0) + 1)
      // Tokens expected at least 20 times, each within 4.5 standard deviations.
      let checked = 0
      weights.forEach((weight, token) => {
        const p = weight / total
        if (p * samples < 20) return
        checked += 1
        const deviation = Math.abs((counts.get(token) ?? 0) - p * samples)
        assert.isBelow(deviation, 4.5 * Math.sqrt(samples * p * (1 - p)), `token ${token}`)
      })
      assert.isAbove(checked, 2)
    }),
  )

  it.effect("log-probabilities are the model's own, sampled or greedy", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      for (const temperature of [0, 0.7]) {
        const options = { maxTokens: 8, temperature, repetitionPenalty: 1.2, logProbabilities: true }
        const written = yield* model.generate(sums(5), options)
        for (const { logProbabilities = [], promptLength, tokens } of written) {
          const [row = new Float32Array()] = yield* model.logits([tokens])
          const size = model.shape.vocabSize
          const expected = tokens.slice(promptLength).map((token, t) => {
            const at = row.subarray((promptLength - 1 + t) * size, (promptLength + t) * size)
            return (at[token] ?? NaN) - Math.log(at.reduce((sum, value) => sum + Math.exp(value), 0))
          })
          assert.strictEqual(logProbabilities.length, expected.length)
          expected.forEach((value, t) => assert.closeTo(logProbabilities[t] ?? NaN, value, 1e-4))
        }
      }
      const [plain] = yield* model.generate(["Q: 1+1\nA:"], { maxTokens: 4 })
      assert.isFalse(Object.hasOwn(plain ?? {}, "logProbabilities"))
    }),
  )

  it.effect("greedy text is the same whether the graph or the sampler takes the token", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("code"))
      const greedy = yield* model.generate(unsure, { maxTokens: 16 })
      const sampler = yield* model.generate(unsure, { maxTokens: 16, logProbabilities: true })
      const first = yield* model.generate(unsure, { maxTokens: 16, temperature: 1, topK: 1 })
      for (const [i, { tokens }] of greedy.entries()) {
        assert.deepStrictEqual(sampler[i]?.tokens, tokens)
        assert.deepStrictEqual(first[i]?.tokens, tokens)
      }
    }),
  )

  it.effect("ends at a stop token, and at a stop string of a continuation", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      const tokenizer = yield* model.tokenizer
      const [newline = -1] = yield* tokenizer.encode("\n", { addSpecial: false })
      const options = { maxTokens: 16, stopTokens: [newline] }
      const [written] = yield* model.generate(["Q: 87+45\nA:"], options)
      assert.strictEqual(written?.end, "stop")
      assert.strictEqual(written?.response, " 132\n")
      const [tokens] = yield* model.continue([yield* tokenizer.encode("Q: 87+45\nA:")], {
        maxTokens: 16,
        stop: ["3"],
      })
      assert.strictEqual(yield* tokenizer.decode(tokens?.tokens ?? []), " 13")
    }),
  )

  describe("a stream", () => {
    it.effect("gives the text of generate in pieces, and says how it ended", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("base"))
        const options = { maxTokens: 24, temperature: 1.5, seed: 5, stop: ["e"], logProbabilities: true }
        for (const prompt of [...unsure, "Q: ¿qué\nA: ñ"]) {
          const pieces = yield* Stream.runCollect(model.stream(prompt, options))
          const [whole] = yield* model.generate([prompt], options)
          assert.strictEqual(pieces.map(({ text }) => text).join(""), whole?.response)
          assert.deepStrictEqual(
            pieces.map(({ token }) => token),
            whole?.tokens.slice(whole.promptLength),
          )
          assert.deepStrictEqual(
            pieces.map(({ logProbability }) => logProbability),
            [...(whole?.logProbabilities ?? [])],
          )
          assert.deepStrictEqual(
            pieces.map(({ end }) => end),
            [...Array<undefined>(pieces.length - 1).fill(undefined), whole?.end],
          )
        }
      }),
    )

    it.effect("may be left early; the model goes on with other work", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("math"))
        const two = yield* Stream.runCollect(Stream.take(model.stream("Q: 87+45\nA:", { maxTokens: 100 }), 2))
        assert.strictEqual(two.map(({ text }) => text).join(""), " 1")
        const [after] = yield* model.generate(["Q: 87+45\nA:"], { maxTokens: 16, stop: ["\n"] })
        assert.strictEqual(after?.response, " 132\n")
      }),
    )

    it.effect("fails with the line that generate fails with", () =>
      Effect.gen(function* () {
        const model = yield* openModel(fixture("math"))
        const error = yield* Effect.flip(Stream.runDrain(model.stream("1".repeat(300), { maxTokens: 4 })))
        assert.include(
          error.message,
          "prompt 0: expected at most 256 tokens (the model's positions), got 301",
        )
      }),
    )
  })

  it.effect("refuses settings out of their range in one line", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("math"))
      for (const [options, line] of [
        [{ samples: 0 }, "samples: expected an integer of at least 1, got 0"],
        [{ seed: -1 }, "seed: expected an integer of at least 0, got -1"],
        [{ stop: [""] }, "stop: a stop string may not be empty"],
        [{ topP: 2 }, "topP: expected a number in (0, 1], got 2"],
      ] as const) {
        const error = yield* Effect.flip(model.generate(["Q:"], { maxTokens: 2, ...options }))
        assert.strictEqual(error.blame, "input")
        assert.isTrue(error.message.endsWith(line), error.message)
      }
    }),
  )
})
