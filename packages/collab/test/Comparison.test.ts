import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Comparison from "../src/Comparison.ts"
import * as Evaluation from "../src/Evaluation.ts"
import * as Guide from "../src/Guide.ts"
import * as Plot from "../src/Plot.ts"

const labels = Array.from({ length: 200 }, (_, i) => i % 2)
const wrongAt = (share: number, phase = 0) =>
  labels.map((label, i) => ((i * 37 + phase) % 100 < 100 * share ? 1 - label : label))

const entry = (
  name: string,
  kind: Evaluation.Entry["kind"],
  predicted: ReadonlyArray<number>,
  cost: number,
) => ({
  name,
  kind,
  predicted,
  stored: cost,
  active: cost,
  flops: cost,
  bytes: cost,
  validationMacroF1: predicted.filter((label, i) => label === labels[i]).length / 200,
})

const evaluation = (seed: number): Evaluation.Evaluation => {
  const experts = [wrongAt(0.4, 3 * seed), wrongAt(0.3, 50)]
  return {
    seed,
    classes: ["a", "b"],
    labels,
    entries: [
      entry("expert x", "expert", experts[0]!, 1000),
      entry("expert y", "expert", experts[1]!, 2000),
      entry("fused", "strategy", wrongAt(0.1, 7), 3500),
      entry("as good as y", "strategy", experts[1]!, 3000),
      entry("oracle", "oracle", Evaluation.oracle(experts, labels), 3000),
    ],
  }
}

describe("a comparison", () => {
  it.effect("tests strategies against the best single expert and says what each costs", () =>
    Effect.gen(function* () {
      const made = yield* Comparison.make([evaluation(0), evaluation(1)])
      assert.deepStrictEqual(made.best, ["expert y", "expert y"])
      const row = (name: string) => made.rows.find((found) => found.name === name)!
      assert.closeTo(row("fused").accuracy.value, 0.9, 1e-9)
      assert.isBelow(row("fused").pValue!, 0.001)
      assert.strictEqual(row("fused").significant, 2)
      assert.isAbove(row("fused").gain.low, 0)
      assert.strictEqual(row("as good as y").pValue, 1)
      assert.strictEqual(row("expert x").pValue, undefined)
      assert.strictEqual(row("oracle").pValue, undefined)
      assert.isAtLeast(row("oracle").accuracy.value, row("expert y").accuracy.value)
      const text = Comparison.artifact.show(made)
      assert.match(text, /fused +90\.0 \[/)
      assert.match(text, /gain: over the best single expert by validation \(expert y\)/)
      const guide = Guide.artifact.show(Guide.of(made))
      assert.match(guide, /stored parameters +from 1 k +expert x/)
      assert.match(guide, /from 4 k +fused +90\.0 %/)
      assert.notInclude(guide, "oracle")
      const svg = Plot.svg(made.rows)
      assert.strictEqual(svg.match(/<circle /g)!.length, 4)
    }),
  )

  it.effect("refuses seeds that were not asked the same", () =>
    Effect.gen(function* () {
      const other = { ...evaluation(1), labels: labels.map((label) => 1 - label) }
      const error = yield* Effect.flip(Comparison.make([evaluation(0), other]))
      assert.match(error.message, /seed 1 has other texts/)
    }),
  )

  it("votes go to what most say, ties to the first expert", () => {
    assert.deepStrictEqual(
      Evaluation.vote([
        [0, 1, 2],
        [1, 1, 0],
        [1, 0, 1],
      ]),
      [1, 1, 2],
    )
  })
})
