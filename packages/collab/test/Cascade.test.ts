import { assert, describe, it } from "@effect/vitest"
import * as Cascade from "../src/Cascade.ts"
import { numbers } from "./support/family.ts"

const [rows, classes] = [120, 2]
const labels = Int32Array.from({ length: rows }, (_, i) => i % 2)
/** Logits that are right and sure on even pairs of rows, and wrong and unsure on others. */
const cheap = Float32Array.from({ length: rows * classes }, (_, at) => {
  const [row, c] = [Math.floor(at / classes), at % classes]
  const isSure = row % 4 < 2
  return c === (isSure ? labels[row] : 1 - labels[row]!) ? (isSure ? 3 : 0.2) : 0
})
const data = {
  count: rows,
  features: [],
  logits: [cheap, numbers(rows * classes, 1)],
  queries: new Float32Array(0),
  labels,
}
/** The head is always right. */
const last = Float32Array.from({ length: rows * classes }, (_, at) =>
  at % classes === labels[Math.floor(at / classes)] ? -0.1 : -2.3,
)

describe("a cascade", () => {
  it("stops where the cheap expert is sure and right, and keeps within its budget", () => {
    const made = Cascade.choose({ data, last, classes, costs: [1, 3], budget: 0.75 })
    assert.deepStrictEqual(made.order, [0, 1])
    assert.strictEqual(made.accuracy, 1)
    // Half of the texts cost 1 of 4, the others all.
    assert.closeTo(made.share, 0.5 * 0.25 + 0.5, 1e-9)
    const { fellThrough, logProbabilities, reached } = Cascade.outcome(made, data, last, classes)
    assert.strictEqual(
      fellThrough.reduce((a, b) => a + b, 0),
      rows / 2,
    )
    assert.closeTo(Cascade.shareOf(made.order, [1, 3], reached), made.share, 1e-9)
    assert.strictEqual(logProbabilities.length, rows * classes)
  })

  it("takes the cheapest expert alone where the budget allows no more", () => {
    const made = Cascade.choose({ data, last, classes, costs: [1, 3], budget: 0.25 })
    assert.closeTo(made.share, 0.25, 1e-9)
    assert.strictEqual(made.accuracy, 0.5)
  })

  it("orders experts by cost, and more money never buys less accuracy on the rows it is chosen on", () => {
    const accuracies = [0.3, 0.5, 0.75, 1].map(
      (budget) => Cascade.choose({ data, last, classes, costs: [1, 3], budget }).accuracy,
    )
    assert.deepStrictEqual(
      accuracies,
      accuracies.toSorted((a, b) => a - b),
    )
    assert.deepStrictEqual(Cascade.choose({ data, last, classes, costs: [3, 1], budget: 1 }).order, [1, 0])
  })
})
