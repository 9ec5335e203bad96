/**
 * Standard errors as the reference harness estimates them: s/√n for means, the spread of bootstrap replicates for
 * other aggregations, and the pooled error of a group.
 *
 * Replicates are drawn with Python's generator in chunks of 1000, chunk i seeded by i, so that they are the harness's
 * own. "N/A" stands where there is no estimate: one document, no replicates, or an aggregation without one.
 */
import { known } from "@hila/core/Lookup"
import { Statistics } from "@hila/model"
import * as PythonRandom from "../tasks/PythonRandom.ts"
import type { Aggregation, Value } from "./Aggregation.ts"

export type StandardError = number | "N/A"

const chunk = 1000

/** Sample standard deviation, with n − 1. */
const deviation = (values: ReadonlyArray<number>): number =>
  Statistics.standardError(values) * Math.sqrt(values.length)

const bootstrap = ({ aggregate }: Aggregation, values: ReadonlyArray<Value>, replicates: number): number => {
  const n = values.length
  const size = Math.min(chunk, replicates)
  const results: Array<number> = []
  for (let i = 0; i < Math.floor(replicates / size); i++) {
    const random = PythonRandom.make(i)
    for (let j = 0; j < size; j++) {
      const drawn: Array<Value> = []
      for (let k = 0; k < n; k++) drawn.push(known(values[Math.floor(random.random() * n)]))
      results.push(aggregate(drawn))
    }
  }
  return deviation(results)
}

/** The error of an aggregation over documents' values. `replicates` 0 asks for none at all. */
export const of = (
  aggregation: Aggregation,
  values: ReadonlyArray<Value>,
  replicates: number,
): StandardError => {
  if (values.length < 2 || replicates <= 0 || aggregation.standardError === "none") return "N/A"
  if (aggregation.standardError === "bootstrap") return bootstrap(aggregation, values, replicates)
  return Statistics.standardError(values.map((value) => (typeof value === "number" ? value : Number.NaN)))
}

/**
 * The error of a group's size-weighted mean from the errors of its parts: the pooled variance
 * Σ(nᵢ−1)·seᵢ²·nᵢ / (Σnᵢ − k) over Σnᵢ, as the harness has it.
 */
export const pooled = (
  parts: ReadonlyArray<{ readonly size: number; readonly standardError: StandardError }>,
): StandardError => {
  let [total, squares] = [0, 0]
  for (const { size, standardError } of parts) {
    if (standardError === "N/A") return "N/A"
    total += size
    squares += (size - 1) * standardError ** 2 * size
  }
  return Math.sqrt(squares / (total - parts.length) / total)
}
