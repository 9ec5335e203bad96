import { assert, describe, it } from "@effect/vitest"
import * as Random from "../src/generation/Random.ts"
import * as Sampling from "../src/generation/Sampling.ts"

/** The definition of each processor, on lists, with a sort by score for each. */
const slow = (
  logits: ReadonlyArray<number>,
  seen: ReadonlyArray<number>,
  { minP = 0, repetitionPenalty = 1, temperature = 1, topK = Infinity, topP = 1 }: Sampling.Sampling,
): ReadonlyArray<number> => {
  const scores = logits.map((score, token) =>
    seen.includes(token) ? (score < 0 ? score * repetitionPenalty : score / repetitionPenalty) : score,
  )
  let kept = scores.map((score, token) => ({ token, weight: Math.exp(score / temperature) }))
  kept.sort((a, b) => b.weight - a.weight)
  kept = kept.slice(0, topK)
  const total = kept.reduce((sum, { weight }) => sum + weight, 0)
  let above = 0
  kept = kept.filter(({ weight }) => {
    const stays = above < topP * total
    above += weight
    return stays
  })
  const best = kept[0]?.weight ?? 0
  kept = kept.filter(({ weight }) => weight >= minP * best)
  const rest = kept.reduce((sum, { weight }) => sum + weight, 0)
  return scores.map((_, i) => (kept.find(({ token }) => token === i)?.weight ?? 0) / rest)
}

/** Logits of no special form: any sequence of numbers serves. */
const logitsOf = (seed: number, count: number) =>
  Float32Array.from({ length: count }, (_, i) => 8 * Random.uniform(Random.key(seed, [], 0), i) - 4)

const dense = ({ probabilities, tokens }: Sampling.Distribution, count: number): ReadonlyArray<number> => {
  const all = Array<number>(count).fill(0)
  tokens.forEach((token, i) => (all[token] = probabilities[i] ?? NaN))
  return all
}

const settings: ReadonlyArray<Sampling.Sampling> = [
  { temperature: 1 },
  { temperature: 0.3 },
  { temperature: 2, topK: 1 },
  { temperature: 1, topK: 7 },
  { temperature: 1, topK: 1000 },
  { temperature: 1, topP: 0.5 },
  { temperature: 0.7, topP: 0.9 },
  { temperature: 1, topP: 1e-9 },
  { temperature: 1, minP: 0.2 },
  { temperature: 1.7, minP: 1 },
  { temperature: 1, repetitionPenalty: 1.5 },
  { temperature: 1, repetitionPenalty: 0.5 },
  { temperature: 0.8, topK: 12, topP: 0.8, minP: 0.05, repetitionPenalty: 1.3 },
  { temperature: 1.2, topK: 3, topP: 0.99, minP: 0.5, repetitionPenalty: 1.1 },
]

describe("Sampling.distribution", () => {
  for (const sampling of settings) {
    it(`is the definition's for ${JSON.stringify(sampling)}`, () => {
      for (const seed of [1, 2, 3, 4, 5]) {
        const logits = logitsOf(seed, 50)
        const seen = [3, 4, 4, 17, 30, 31, 32, 33]
        const ours = dense(Sampling.distribution(logits, seen, sampling), 50)
        const expected = slow([...logits], seen, sampling)
        ours.forEach((p, token) =>
          assert.isAtMost(Math.abs(p - (expected[token] ?? NaN)), 1e-6, `token ${token}`),
        )
      }
    })
  }

  it("takes the most likely token alone at temperature 0, after the penalty", () => {
    const logits = Float32Array.of(1, 3, 2, 3)
    assert.deepStrictEqual([...Sampling.distribution(logits, [], {}).tokens], [1])
    assert.deepStrictEqual([...Sampling.distribution(logits, [1, 3], { repetitionPenalty: 2 }).tokens], [2])
  })

  it("keeps tokens that tie at a threshold together", () => {
    const logits = Float32Array.of(2, 1, 1, 1, 0)
    assert.deepStrictEqual(
      [...Sampling.distribution(logits, [], { temperature: 1, topK: 2 }).tokens],
      [0, 1, 2, 3],
    )
  })

  it("needs no order: a vocabulary of one token is certain", () => {
    const { probabilities } = Sampling.distribution(Float32Array.of(-5), [], { temperature: 3, topP: 0.1 })
    assert.deepStrictEqual([...probabilities], [1])
  })
})

describe("Sampling.draw", () => {
  it("draws tokens as often as the distribution says", () => {
    const logits = Float32Array.of(0, 1, 2, -1, 0.5, 1.5)
    const distribution = Sampling.distribution(logits, [], { temperature: 1, topP: 0.95 })
    const count = 20_000
    const drawn = Array<number>(6).fill(0)
    for (let i = 0; i < count; i++) {
      drawn[Sampling.draw(distribution, Random.uniform(Random.key(7, [1, 2, i], 0), 3))]! += 1
    }
    // Pearson's statistic stays below its 99.9 % quantile with 4 degrees of freedom.
    let statistic = 0
    distribution.tokens.forEach((token, i) => {
      const expected = count * (distribution.probabilities[i] ?? 0)
      statistic += ((drawn[token] ?? 0) - expected) ** 2 / expected
    })
    assert.strictEqual(distribution.tokens.length, 5)
    assert.isBelow(statistic, 18.47)
  })

  it("never leaves the distribution, whatever rounding does", () => {
    const distribution = { tokens: Int32Array.of(3, 5, 8), probabilities: Float64Array.of(0.5, 0.4999, 0) }
    assert.strictEqual(Sampling.draw(distribution, 0), 3)
    assert.strictEqual(Sampling.draw(distribution, 1 - 2 ** -53), 5)
  })
})

describe("Sampling.problem", () => {
  it("names the setting that is out of its range", () => {
    const wrong: ReadonlyArray<readonly [Sampling.Sampling, string]> = [
      [{ temperature: -1 }, "temperature: expected a number of at least 0, got -1"],
      [{ temperature: Infinity }, "temperature: expected a number of at least 0, got Infinity"],
      [{ topK: 0 }, "topK: expected an integer of at least 1, got 0"],
      [{ topK: 1.5 }, "topK: expected an integer of at least 1, got 1.5"],
      [{ topP: 0 }, "topP: expected a number in (0, 1], got 0"],
      [{ topP: NaN }, "topP: expected a number in (0, 1], got NaN"],
      [{ minP: 1.1 }, "minP: expected a number in [0, 1], got 1.1"],
      [{ repetitionPenalty: 0 }, "repetitionPenalty: expected a number above 0, got 0"],
    ]
    for (const [sampling, line] of wrong) assert.strictEqual(Sampling.problem(sampling), line)
    for (const sampling of settings) assert.isUndefined(Sampling.problem(sampling))
  })
})

describe("Random", () => {
  it("is uniform over sequences that differ in one place, and along a sequence", () => {
    const kinds: ReadonlyArray<(i: number) => number> = [
      (i) => Random.uniform(Random.key(i, [1, 2], 0), 0),
      (i) => Random.uniform(Random.key(0, [1, i], 0), 0),
      (i) => Random.uniform(Random.key(0, [1, 2], i), 0),
      (i) => Random.uniform(Random.key(0, [1, 2], 0), i),
      (i) => Random.uniform(Random.key(i * 2 ** 32, [1, 2], 0), 0),
    ]
    for (const [k, uniform] of kinds.entries()) {
      const bins = Array<number>(20).fill(0)
      let [sum, lagged, last] = [0, 0, 0.5]
      for (let i = 0; i < 10_000; i++) {
        const u = uniform(i)
        assert.isTrue(u >= 0 && u < 1)
        bins[Math.floor(u * 20)]! += 1
        sum += u
        lagged += (u - 0.5) * (last - 0.5)
        last = u
      }
      const statistic = bins.reduce((s, count) => s + (count - 500) ** 2 / 500, 0)
      assert.isBelow(statistic, 43.82, `sequence ${k}`) // 99.9 % quantile, 19 degrees of freedom
      assert.isBelow(Math.abs(sum / 10_000 - 0.5), 0.0097)
      assert.isBelow(Math.abs((lagged / 10_000) * 12), 0.033)
    }
  })

  it("gives the same numbers for the same question", () => {
    const numbers = () => [0, 1, 2].map((i) => Random.uniform(Random.key(5, [9, 9], 1), i))
    assert.deepStrictEqual(numbers(), numbers())
    assert.strictEqual(new Set(numbers()).size, 3)
  })
})
