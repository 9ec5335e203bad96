import { assert, describe, it } from "@effect/vitest"
import * as PairedMeans from "../src/results/PairedMeans.ts"
import * as PythonRandom from "../src/tasks/PythonRandom.ts"

/** Differences of mean 0 with a long tail to one side. */
const skewed = (random: PythonRandom.PythonRandom, n: number): ReadonlyArray<number> =>
  Array.from({ length: n }, () => -Math.log(1 - random.random()) - 1)

/** Differences of mean 0, the same to both sides. */
const even = (random: PythonRandom.PythonRandom, n: number): ReadonlyArray<number> =>
  Array.from({ length: n }, () => random.random() + random.random() - 1)

describe("means over the same items", () => {
  it("have an interval without 0 if and only if p is at most 5 %", () => {
    const random = PythonRandom.make(2)
    for (let trial = 0; trial < 200; trial++) {
      const values = even(random, 12).map((value) => value + (trial % 5) / 10)
      const { high, low, pValue } = PairedMeans.studentised(values, { replicates: 399, seed: trial })
      assert.strictEqual(low > 0 || high < 0, pValue <= 0.05)
    }
  })

  it("are covered about as stated, also a few of a skewed kind", () => {
    const random = PythonRandom.make(7)
    for (const [draw, n, least] of [
      [even, 20, 0.93],
      [even, 60, 0.93],
      [skewed, 20, 0.91],
      [skewed, 60, 0.92],
    ] as const) {
      let covered = 0
      const trials = 600
      for (let trial = 0; trial < trials; trial++) {
        const { high, low } = PairedMeans.studentised(draw(random, n), { replicates: 399, seed: trial })
        covered += Number(low <= 0 && 0 <= high)
      }
      // Three standard errors of 600 trials are 2.7 %; `npm run coverage` has 10,000 of each, and what they gave.
      assert.isAtLeast(covered / trials, least, `${draw.name} ${n}`)
    }
  })

  it("say nothing where nothing varies", () => {
    const { high, low, pValue } = PairedMeans.studentised([0, 0, 0])
    assert.deepStrictEqual([low, high, pValue], [-Infinity, Infinity, 1])
    assert.isNaN(PairedMeans.detectable([0, 0, 0]))
  })

  it("have a detectable difference by their standard error", () => {
    // (1.959964 + 0.841621) · s/√n of ±1 over 100 items
    const differences = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 1 : -1))
    assert.closeTo(PairedMeans.detectable(differences), 2.801585 * Math.sqrt(100 / 99) * 0.1, 1e-6)
  })
})
