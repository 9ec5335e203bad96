import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Normalisation from "../src/Normalisation.ts"
import * as Statistics from "../src/Statistics.ts"

const Scored = Schema.Struct({
  kind: Schema.Literals(["kvGroup", "queryHead", "kvHead", "mlp"]),
  score: Schema.Finite.check(Schema.isBetween({ minimum: -2, maximum: 2 })),
  standardError: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.5 })),
})
const certain = (kind: Normalisation.Scored["kind"], score: number) => ({ kind, score, standardError: 0 })

describe("Normalisation.relative", () => {
  it.prop(
    "is never negative and has mean 1 inside heads and inside MLPs",
    { rows: Schema.Array(Scored) },
    ({ rows }) => {
      const relative = Normalisation.relative(rows)
      for (const isMlp of [true, false]) {
        const own = relative.filter((_, index) => (rows[index]?.kind === "mlp") === isMlp)
        assert.isTrue(own.every((value) => value >= 0))
        if (own.length > 0) assert.approximately(Statistics.mean(own), 1, 1e-9)
      }
    },
  )

  it("divides by the mean of the unit's kind, so that MLPs do not swamp heads", () => {
    const rows = [certain("kvGroup", 0.1), certain("kvGroup", 0.3), certain("mlp", 10), certain("mlp", 30)]
    const expected = [0.5, 1.5, 0.5, 1.5]
    Normalisation.relative(rows).forEach((value, i) => assert.approximately(value, expected[i] ?? 0, 1e-12))
  })

  it("counts query heads and key-value heads as one kind", () => {
    assert.deepStrictEqual(
      Normalisation.relative([certain("queryHead", 3), certain("kvHead", 1)]),
      [1.5, 0.5],
    )
  })

  it("gives harmful and insignificant units 0", () => {
    const noise = { kind: "kvGroup", score: 0.5, standardError: 0.3 } as const
    assert.deepStrictEqual(
      Normalisation.relative([certain("kvGroup", 1), certain("kvGroup", -1), noise]),
      [3, 0, 0],
    )
  })

  it("gives all units of a kind 1 where none of it helps", () => {
    const rows = [certain("kvGroup", 0), certain("kvGroup", -1), certain("mlp", 2), certain("mlp", 0)]
    assert.deepStrictEqual(Normalisation.relative(rows), [1, 1, 2, 0])
  })
})
