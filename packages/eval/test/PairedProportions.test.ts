import { assert, describe, it } from "@effect/vitest"
import * as PairedProportions from "../src/results/PairedProportions.ts"
import * as PythonRandom from "../src/tasks/PythonRandom.ts"

/** P(k of n) at probability p. */
const binomial = (n: number, k: number, p: number): number => {
  let log = 0
  for (let i = 0; i < k; i++) log += Math.log(n - i) - Math.log(i + 1)
  return Math.exp(log + (k === 0 ? 0 : k * Math.log(p)) + (k === n ? 0 : (n - k) * Math.log(1 - p)))
}

describe("scores of 0 and 1 on the same items", () => {
  it("are tested by the exact binomial (McNemar)", () => {
    // scipy.stats.binomtest(2, 10).pvalue, binomtest(0, 6).pvalue, binomtest(0, 4).pvalue
    assert.closeTo(PairedProportions.mcNemar(2, 8), 0.109375, 1e-12)
    assert.closeTo(PairedProportions.mcNemar(6, 0), 0.03125, 1e-12)
    assert.closeTo(PairedProportions.mcNemar(4, 0), 0.125, 1e-12)
    assert.strictEqual(PairedProportions.mcNemar(0, 0), 1)
    assert.strictEqual(PairedProportions.mcNemar(5, 5), 1)
    assert.isBelow(PairedProportions.mcNemar(3000, 2600), 1e-6)
  })

  it("have an interval that the likelihood gives, found by search", () => {
    // Tango's statistic with the share of the second found by trying, not by the root of the quadratic.
    const slow = (b: number, c: number, n: number, delta: number): number => {
      let [best, share] = [-Infinity, 0]
      const steps = 20_000
      for (let i = 0; i <= steps; i++) {
        const q = Math.max(0, -delta) + ((1 - Math.abs(delta)) / 2) * (i / steps)
        const log = (count: number, p: number) => (count === 0 ? 0 : count * Math.log(Math.max(p, 1e-300)))
        const likelihood = log(b, q + delta) + log(c, q) + log(n - b - c, 1 - 2 * q - delta)
        if (likelihood > best) [best, share] = [likelihood, q]
      }
      return (b - c - n * delta) / Math.sqrt(n * (2 * share + delta * (1 - delta)))
    }
    for (const [b, c, n] of [
      [10, 2, 40],
      [9, 0, 30],
      [30, 12, 60],
    ] as const) {
      const { high, low } = PairedProportions.interval(b, c, n)
      assert.closeTo(slow(b, c, n, low), 1.959964, 2e-3, `${b} ${c} ${n}`)
      assert.closeTo(slow(b, c, n, high), -1.959964, 2e-3, `${b} ${c} ${n}`)
    }
    // Nothing differs: ±z² / (n + z²)
    const { high, low } = PairedProportions.interval(0, 0, 54)
    assert.closeTo(high, 1.959964 ** 2 / (54 + 1.959964 ** 2), 1e-6)
    assert.closeTo(low, -high, 1e-12)
  })

  it("never have an interval without 0 beside a p above 5 %, nor the reverse", () => {
    for (const n of [1, 4, 5, 6, 20, 60, 300]) {
      for (let b = 0; b <= n; b++) {
        for (let c = 0; b + c <= n; c += n > 60 ? 7 : 1) {
          const { high, low } = PairedProportions.interval(b, c, n)
          const difference = (b - c) / n
          assert.isTrue(-1 <= low && low <= difference && difference <= high && high <= 1, `${b} ${c} ${n}`)
          const excludes = low > 0 || high < 0
          assert.strictEqual(excludes, PairedProportions.mcNemar(b, c) <= 0.05, `${b} ${c} ${n}`)
        }
      }
    }
  })

  it("are covered and tested as stated in 10,000 simulated comparisons at 20, 60 and 500 items", () => {
    const random = PythonRandom.make(11)
    for (const n of [20, 60, 500]) {
      for (const [psi, difference] of [
        [0.1, 0],
        [0.4, 0],
        [0.2, 0.1],
        [0.5, 0.3],
      ] as const) {
        const cache = new Map<number, readonly [covers: boolean, rejects: boolean]>()
        let [covered, rejected] = [0, 0]
        for (let trial = 0; trial < 10_000; trial++) {
          let [b, c] = [0, 0]
          for (let i = 0; i < n; i++) {
            const u = random.random()
            if (u < (psi + difference) / 2) b++
            else if (u < psi) c++
          }
          const known = cache.get(b * 1000 + c)
          const { high, low } =
            known === undefined ? PairedProportions.interval(b, c, n) : { high: 0, low: 0 }
          const [covers, rejects] = known ?? [
            low <= difference && difference <= high,
            PairedProportions.mcNemar(b, c) <= 0.05,
          ]
          cache.set(b * 1000 + c, [covers, rejects])
          covered += Number(covers)
          rejected += Number(rejects)
        }
        // Four standard errors of 10,000 trials are 0.9 %.
        const place = `${n} items, discordance ${psi}, difference ${difference}`
        assert.isAtLeast(covered, 9400, place)
        if (difference === 0) assert.isAtMost(rejected, 500 + 90, place)
      }
    }
  })

  it("have a detectable difference that the exact test finds with 80 %, and would not find were it less", () => {
    const power = (n: number, psi: number, difference: number): number => {
      let found = 0
      for (let b = 0; b <= n; b++) {
        for (let c = 0; b + c <= n; c++) {
          if (PairedProportions.mcNemar(b, c) > 0.05) continue
          found += binomial(n, b + c, psi) * binomial(b + c, b, (1 + difference / psi) / 2)
        }
      }
      return found
    }
    for (const [n, psi] of [
      [20, 0.1],
      [60, 0.1],
      [60, 0.3],
    ] as const) {
      const found = PairedProportions.detectable(n, psi)
      assert.isAtLeast(power(n, Math.max(psi, found), found), 0.8)
      assert.isBelow(power(n, Math.max(psi, found - 0.002), found - 0.002), 0.8)
    }
    assert.isNaN(PairedProportions.detectable(5, 0.1))
    assert.isFalse(PairedProportions.canReject(5))
    // The formula above 200 items joins on to the exact sum.
    const [exact, formula] = [PairedProportions.detectable(200, 0.2), PairedProportions.detectable(201, 0.2)]
    assert.closeTo(formula, exact, 0.06 * exact)
  })
})
