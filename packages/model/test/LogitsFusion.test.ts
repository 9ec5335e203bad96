import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { cpSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { LogitsFusion, Runtime } from "../src/index.ts"
import * as Alpha from "../src/generation/Alpha.ts"
import * as Random from "../src/generation/Random.ts"
import { temporary } from "./support/fixtures.ts"
import { distance, fixture, openModel, sums } from "./support/models.ts"

const logitsOf = (seed: number, count = 40) =>
  Float32Array.from({ length: count }, (_, i) => 6 * Random.uniform(Random.key(seed, [], 0), i) - 3)

const softmax = (logits: ReadonlyArray<number>) => {
  const weights = logits.map((value) => Math.exp(value))
  const total = weights.reduce((sum, w) => sum + w, 0)
  return weights.map((w) => w / total)
}

const kl = (p: ReadonlyArray<number>, q: ReadonlyArray<number>) =>
  p.reduce((sum, value, i) => sum + value * Math.log(value / (q[i] ?? NaN)), 0)

/** The objective as it is written, with every distribution spelled out. */
const objective = (
  large: Float32Array,
  small: Float32Array,
  experts: ReadonlyArray<Float32Array>,
  alphas: ReadonlyArray<number>,
) => {
  const fused = softmax(
    Array.from(large, (value, i) =>
      experts.reduce((sum, e, t) => sum + (alphas[t] ?? 0) * ((e[i] ?? 0) - (small[i] ?? 0)), value),
    ),
  )
  const [p, q] = [softmax([...large]), softmax([...small])]
  return experts.reduce((sum, expert) => {
    const own = softmax([...expert])
    return sum + (kl(fused, p) - kl(own, q)) ** 2 + (kl(p, fused) - kl(q, own)) ** 2
  }, 0)
}

const grid = { maximum: 2, step: 0.1 }

describe("the search for α", () => {
  it("finds the smallest objective of the grid, one expert at a time", () => {
    for (let seed = 0; seed < 12; seed++) {
      const [large, small] = [logitsOf(4 * seed), logitsOf(4 * seed + 1)]
      const near = (k: number) => small.map((value, i) => value + 0.4 * (logitsOf(4 * seed + k)[i] ?? 0))
      const experts = [near(2), near(3)].slice(0, 1 + (seed % 2))
      const found = Alpha.search(large, small, experts, grid)
      assert.isAtMost(found.filter((alpha) => alpha !== 0).length, 1)
      const value = objective(large, small, experts, found)
      for (const t of experts.keys()) {
        for (let i = 0; i <= 20; i++) {
          const alphas = experts.map((_, k) => (k === t ? i / 10 : 0))
          assert.isAtMost(value, objective(large, small, experts, alphas) + 1e-9)
        }
      }
    }
  })

  it("is 1 where the large model is the small one, and 0 where the experts learned nothing", () => {
    const [small, expert] = [logitsOf(1), logitsOf(2)]
    assert.deepStrictEqual(Alpha.search(small, small, [expert], grid), [1])
    assert.deepStrictEqual(Alpha.search(logitsOf(3), small, [small, small], grid), [0, 0])
  })
})

const prompts = [...sums(3), "Q: rev('abc')\nA:", "Once"]
const options = { maxTokens: 12, stop: ["\n"] }

layer(Runtime.layerWith({ workers: 2, threads: 2 }))("LogitsFusion", (it) => {
  const family = Effect.gen(function* () {
    const [base, math, code] = yield* Effect.forEach(["base", "math", "code"], (name) =>
      openModel(fixture(name)),
    )
    assert.isDefined(base)
    assert.isDefined(math)
    assert.isDefined(code)
    return { base, math, code }
  })

  it.effect(
    "of experts that equal their base has α = 0 at every step and writes the large model's text",
    () =>
      Effect.gen(function* () {
        const { base, math } = yield* family
        const again = yield* openModel(fixture("base"))
        for (const large of [base, math]) {
          const fusion = yield* LogitsFusion.make({ large, small: base, experts: [base, again] })
          const fused = yield* fusion.generate(prompts, options)
          const own = yield* large.generate(prompts, options)
          fused.forEach(({ alphas, promptLength, response, tokens }, i) => {
            assert.strictEqual(response, own[i]?.response)
            assert.deepStrictEqual(tokens, own[i]?.tokens ?? [])
            assert.deepStrictEqual(
              alphas,
              tokens.slice(promptLength).map(() => [0, 0]),
            )
          })
        }
      }),
  )

  it.effect("of one expert with its own base as the large model finds α = 1 and the expert itself", () =>
    Effect.gen(function* () {
      const { base, math } = yield* family
      const fusion = yield* LogitsFusion.make({ large: base, small: base, experts: [math] })
      const asked = { ...options, logProbabilities: true }
      const fused = yield* fusion.generate(prompts, asked)
      const own = yield* math.generate(prompts, asked)
      fused.forEach(({ alphas, logProbabilities = [], response }, i) => {
        assert.strictEqual(response, own[i]?.response)
        assert.isTrue(alphas.every(([alpha]) => alpha === 1))
        assert.isAtMost(distance(logProbabilities, own[i]?.logProbabilities ?? []), 1e-4)
      })
    }),
  )

  it.effect("of one expert over itself as the large model is exp((1 + α)·M − α·S), normalised", () =>
    Effect.gen(function* () {
      const { base, math } = yield* family
      const fusion = yield* LogitsFusion.make({ large: math, small: base, experts: [math] })
      const [written] = yield* fusion.generate(["Q: 8"], { maxTokens: 8, logProbabilities: true })
      assert.isDefined(written)
      const { alphas, logProbabilities = [], promptLength, tokens } = written
      const [m = new Float32Array()] = yield* math.logits([tokens])
      const [s = new Float32Array()] = yield* base.logits([tokens])
      const size = base.shape.vocabSize
      tokens.slice(promptLength).forEach((token, t) => {
        const at = (promptLength - 1 + t) * size
        const [own, small] = [m.subarray(at, at + size), s.subarray(at, at + size)]
        const [alpha = NaN] = alphas[t] ?? []
        assert.deepStrictEqual(Alpha.search(own, small, [own], grid), [alpha])
        const fused = softmax(Array.from(own, (value, i) => (1 + alpha) * value - alpha * (small[i] ?? 0)))
        assert.closeTo(logProbabilities[t] ?? NaN, Math.log(fused[token] ?? NaN), 1e-4)
        assert.strictEqual(Math.max(...fused), fused[token])
      })
      assert.strictEqual(alphas.length, tokens.length - promptLength)
    }),
  )

  it.effect("with α fixed at 1 is proxy tuning, and with several experts logit arithmetic", () =>
    Effect.gen(function* () {
      const { base, code, math } = yield* family
      const proxy = yield* LogitsFusion.make({ large: code, small: base, experts: [math] }, { alphas: [1] })
      const sum = yield* LogitsFusion.make(
        { large: base, small: base, experts: [math, code] },
        { alphas: [0.5, 0.25] },
      )
      const tokenizer = yield* base.tokenizer
      const prompt = yield* tokenizer.encode("Q: len('abc')+4\nA:")
      const at = Effect.fnUntraced(function* (model: typeof base) {
        const [logits = new Float32Array()] = yield* model.logits([prompt])
        return logits.slice(-model.shape.vocabSize)
      })
      const [b, m, c] = [yield* at(base), yield* at(math), yield* at(code)]
      const settings = { maxTokens: 1, temperature: 1, seed: 4, logProbabilities: true }
      const cases = [
        [proxy, c.map((value, i) => value + (m[i] ?? 0) - (b[i] ?? 0)), [1]],
        [sum, b.map((value, i) => 0.25 * value + 0.5 * (m[i] ?? 0) + 0.25 * (c[i] ?? 0)), [0.5, 0.25]],
      ] as const
      for (const [fusion, logits, alphas] of cases) {
        const [first] = yield* fusion.continue([prompt], settings)
        const expected = Math.log(softmax([...logits])[first?.tokens[0] ?? -1] ?? NaN)
        assert.closeTo(first?.logProbabilities?.[0] ?? NaN, expected, 1e-4)
        assert.deepStrictEqual(first?.alphas, [alphas])
      }
    }),
  )

  it.effect("is the same for a prompt alone and among others, with one worker for all models", () =>
    Effect.gen(function* () {
      const { base, code, math } = yield* family
      const fusion = yield* LogitsFusion.make({ large: code, small: base, experts: [math] })
      const settings = { ...options, temperature: 1, seed: 9 }
      const together = yield* fusion.generate(prompts, settings)
      for (const [i, prompt] of prompts.entries()) {
        assert.deepStrictEqual(yield* fusion.generate([prompt], settings), together.slice(i, i + 1))
      }
    }).pipe(Effect.provide(Runtime.layerWith({ workers: 1, threads: 1 }))),
  )

  it.effect("refuses models of another vocabulary, and weights that make no sense, in one line", () =>
    Effect.gen(function* () {
      const { base, math } = yield* family
      const directory = yield* temporary
      cpSync(fixture("base"), directory, { recursive: true })
      const path = join(directory, "tokenizer.json")
      const swapped = JSON.parse(readFileSync(path, "utf8"))
      const vocab: Record<string, number> = swapped.model.vocab
      const [first = "", second = ""] = Object.keys(vocab).slice(100, 102)
      ;[vocab[first], vocab[second]] = [vocab[second] ?? 0, vocab[first] ?? 0]
      writeFileSync(path, JSON.stringify(swapped))
      const other = yield* openModel(directory)
      const wrong = yield* Effect.flip(LogitsFusion.make({ large: base, small: base, experts: [other] }))
      assert.strictEqual(wrong.blame, "input")
      assert.match(
        wrong.message,
        /^[^\n]*: another vocabulary than [^\n]*base: token \d+: expected ".+", got ".+"$/,
      )
      const count = yield* Effect.flip(
        LogitsFusion.make({ large: base, small: base, experts: [math] }, { alphas: [1, 2] }),
      )
      assert.include(count.message, "alphas: expected 1 numbers, got [1,2]")
      const step = yield* Effect.flip(
        LogitsFusion.make({ large: base, small: base, experts: [math] }, { step: 0 }),
      )
      assert.include(step.message, "expected 0 < step ≤ maximum, got step 0")
    }),
  )
})
