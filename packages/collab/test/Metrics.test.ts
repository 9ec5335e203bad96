import { assert, describe, it } from "@effect/vitest"
import * as Metrics from "../src/Metrics.ts"

const logs = (rows: ReadonlyArray<ReadonlyArray<number>>) => Float32Array.from(rows.flat(), Math.log)

describe("metrics", () => {
  it("macro-F1 is the mean over classes, 0 for one that is never right", () => {
    // Class 0: TP 2, FP 1, FN 0 → 4/5; class 1: TP 1, FP 0, FN 1 → 2/3; class 2: none → 0.
    assert.closeTo(Metrics.macroF1([0, 0, 0, 1], [0, 0, 1, 1], 3), (4 / 5 + 2 / 3) / 3, 1e-12)
  })

  it("the class is the most likely one, the first among equals", () => {
    const predicted = Metrics.classesOf(
      logs([
        [0.2, 0.5, 0.3],
        [0.4, 0.4, 0.2],
      ]),
      3,
    )
    assert.deepStrictEqual([...predicted], [1, 0])
  })

  it("negative log-likelihood and calibration follow their formulas", () => {
    const two = logs([
      [0.8, 0.2],
      [0.6, 0.4],
    ])
    assert.closeTo(Metrics.nll(two, [0, 1], 2), -(Math.log(0.8) + Math.log(0.4)) / 2, 1e-6)
    // Confidence 0.8, right; 0.6, wrong; in two bins: (0.2 + 0.6) / 2.
    assert.closeTo(Metrics.ece(two, [0, 1], 2), 0.4, 1e-6)
  })

  it("the temperature undoes a scale that was put on calibrated logits", () => {
    // Of ten texts seven are right with p = 0.7 at T = 1.
    const logits = Float32Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 3 * Math.log(0.7 / 0.3) : 0))
    const labels = Array.from({ length: 10 }, (_, i) => (i < 7 ? 0 : 1))
    assert.closeTo(Metrics.temperature(logits, labels, 2), 3, 0.01)
  })
})
