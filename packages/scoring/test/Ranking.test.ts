import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Ranking from "../src/Ranking.ts"

const Few = Schema.Array(Schema.Literals([-1, 0, 0.5, 1, 2])).check(
  Schema.isMinLength(2),
  Schema.isMaxLength(9),
)

describe("Ranking", () => {
  it("gives ties the mean of the ranks they take up", () => {
    assert.deepStrictEqual(Ranking.ranks([10, 20, 20, 5]), [2, 3.5, 3.5, 1])
    assert.deepStrictEqual(Ranking.ranks([]), [])
  })

  it("has the values of a published example", () => {
    // IQ and hours of television per week, ten people: ρ = -29/165, the worked example of Spearman's coefficient.
    const iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert.closeTo(Ranking.spearman(iq, hours), -29 / 165, 1e-12)
    assert.closeTo(Ranking.kendall(iq, hours), -1 / 9, 1e-12)
  })

  it.effect.prop(
    "is symmetric, bounded, 1 with itself and −1 with its reverse",
    { a: Few, b: Few },
    ({ a, b }) =>
      Effect.sync(() => {
        const n = Math.min(a.length, b.length)
        const [x, y] = [a.slice(0, n), b.slice(0, n)]
        for (const measure of [Ranking.spearman, Ranking.kendall]) {
          const value = measure(x, y)
          const constant = new Set(x).size === 1 || new Set(y).size === 1
          assert.strictEqual(Number.isNaN(value), constant)
          if (constant) continue
          assert.closeTo(value, measure(y, x), 1e-12)
          assert.isTrue(Math.abs(value) <= 1 + 1e-12)
          assert.closeTo(measure(x, x), 1, 1e-12)
          assert.closeTo(
            measure(
              x,
              x.map((v) => -v),
            ),
            -1,
            1e-12,
          )
          // Ranks do not see a monotone change of scale.
          assert.closeTo(measure(x.map(Math.exp), y), value, 1e-12)
        }
      }),
  )

  it("counts the overlap of the k largest", () => {
    assert.strictEqual(Ranking.topOverlap([3, 2, 1, 0], [3, 0, 2, 1], 2), 0.5)
    assert.strictEqual(Ranking.topOverlap([1, 1, 1], [1, 1, 1], 2), 1)
    assert.strictEqual(Ranking.topOverlap([1, 2], [2, 1], 9), 1)
  })
})
