import { assert, describe, it } from "@effect/vitest"
import { adaptiveWeights, UnitWeights } from "@hila/merge"
import * as Effect from "effect/Effect"
import { softmax } from "../src/units/AdaptiveWeights.ts"
import { micro, random, table } from "./support.ts"

describe("adaptiveWeights", () => {
  it.effect("is the softmax of relative importance over temperature in every unit", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const importance = [
        yield* table(base, (unit) => random(unit)()),
        yield* table(base, (unit) => 3 * random(unit + 50)()),
        yield* table(base, () => 1),
      ]
      const { experts, rows } = yield* adaptiveWeights({ importance }, { temperature: 0.5 })
      assert.strictEqual(experts, 3)
      for (const [unit, row] of rows.entries()) {
        const powers = importance.map((one) => Math.exp(one.rows[unit]!.relative / 0.5))
        const sum = powers.reduce((a, b) => a + b, 0)
        for (const [expert, weight] of row.weights.entries()) {
          assert.closeTo(weight, powers[expert]! / sum, 1e-15)
        }
      }
    }),
  )

  it.effect("is exactly 1/K where all are equal, however large they are", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      for (const experts of [1, 2, 3, 7]) {
        const importance = Array.from({ length: experts }, () => table(base, () => 1e6))
        const weights = yield* adaptiveWeights(
          { importance: yield* Effect.all(importance) },
          { temperature: 1e-3 },
        )
        for (const row of weights.rows) assert.deepStrictEqual(new Set(row.weights), new Set([1 / experts]))
      }
    }),
  )

  it("takes the largest alone as the temperature falls", () => {
    assert.deepStrictEqual(softmax([1000, 0, 2000]), [0, 0, 1])
  })

  it.effect("permutes with the experts", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const [a, b] = [yield* table(base, (unit) => random(unit)()), yield* table(base)]
      const forward = yield* adaptiveWeights({ importance: [a, b] }, { temperature: 1 })
      const backward = yield* adaptiveWeights({ importance: [b, a] }, { temperature: 1 })
      assert.deepStrictEqual(
        forward.rows.map((row) => row.weights.toReversed()),
        backward.rows.map((row) => row.weights),
      )
      assert.match(UnitWeights.artifact.summary(forward), /^20 units × 2 experts, largest share 0\.\d{3}$/)
    }),
  )

  it.effect("refuses a temperature that is not above 0, and no tables at all", () =>
    Effect.gen(function* () {
      const importance = [yield* table(yield* micro("base"))]
      const message = (inputs: typeof importance, temperature: number) =>
        Effect.map(
          Effect.flip(adaptiveWeights({ importance: inputs }, { temperature })),
          (error) => error.message,
        )
      assert.strictEqual(
        yield* message(importance, 0),
        "adaptiveWeights: temperature: expected a finite number above 0, got 0",
      )
      assert.strictEqual(
        yield* message([], 1),
        "adaptiveWeights: importance: expected one table per expert, got none",
      )
    }),
  )
})
