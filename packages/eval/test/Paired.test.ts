import { assert, describe, it } from "@effect/vitest"
import * as Aggregation from "../src/metrics/Aggregation.ts"
import * as Paired from "../src/results/Paired.ts"
import * as PythonRandom from "../src/tasks/PythonRandom.ts"

describe("Paired", () => {
  it("adjusts p-values by Holm's method", () => {
    const adjusted = Paired.holm([0.01, 0.04, 0.03, 0.005])
    for (const [i, value] of [0.03, 0.06, 0.06, 0.02].entries()) {
      assert.closeTo(adjusted[i] ?? 0, value, 1e-12)
    }
  })

  it("finds a difference that is there, and its interval covers it", () => {
    const random = PythonRandom.make(3)
    const difficulty = Array.from({ length: 300 }, () => random.random())
    const first = difficulty.map((value) => Number(value < 0.7))
    const second = difficulty.map((value) => Number(value < 0.6))
    const { difference, high, low, pValue } = Paired.bootstrap(Aggregation.mean, first, second)
    assert.isBelow(pValue, 0.01)
    assert.isTrue(low > 0 && low < difference && difference < high)
    const random2 = PythonRandom.make(5)
    for (let trial = 0; trial < 60; trial++) {
      const values = Array.from({ length: 25 }, () => random2.random() - 0.4)
      const made = Paired.bootstrap(
        Aggregation.mean,
        values,
        values.map(() => 0),
        { replicates: 200, seed: trial },
      )
      assert.strictEqual(made.pValue < 0.05, made.low > 0 || made.high < 0)
    }
    const nothing = Paired.bootstrap(Aggregation.mean, first, first)
    assert.deepStrictEqual([nothing.difference, nothing.pValue], [0, 1])
    assert.deepStrictEqual(Paired.bootstrap(Aggregation.mean, first, second), {
      difference,
      high,
      low,
      pValue,
    })
  })

  it("draws each set of items for itself, with the same draw for everything measured on it", () => {
    const sets = [
      { first: [1, 1, 0, 1], second: [0, 1, 0, 0] },
      { first: [0.5, 0.25], second: [0.75, 0.5] },
    ]
    const means = Paired.bootstrapMeans(sets, { seed: 4 })
    assert.closeTo(means.difference, (0.5 - 0.25) / 2, 1e-12)
    const value = (values: ReadonlyArray<number> | undefined, i: number) => values?.[i] ?? Number.NaN
    const slow = Paired.resample(
      [4, 2],
      (draw) => {
        assert.deepStrictEqual(
          draw.map(({ length }) => length),
          [4, 2],
        )
        const [a = 0, b = 0] = draw.map((indices, set) => {
          const own = indices.map((i) => value(sets[set]?.first, i) - value(sets[set]?.second, i))
          return own.reduce((sum, one) => sum + one, 0) / own.length
        })
        return (a + b) / 2
      },
      { seed: 4 },
    )
    assert.deepStrictEqual(means, slow)
    // Two items 1/4 apart alike: only the first set varies.
    assert.isAtLeast(means.low, (0 - 0.25) / 2)
    assert.isAtMost(means.high, (1 - 0.25) / 2)
  })
})
