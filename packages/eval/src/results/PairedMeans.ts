/**
 * Two models' means over the same items: a test and an interval from one bootstrap.
 *
 * The bootstrap is studentised (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 12): each draw's mean is
 * measured in its own standard errors, which keeps the stated coverage also for a few dozen items, where percentiles of
 * the means themselves are too narrow. The p-value counts the same draws that bound the interval, so that the interval
 * leaves out 0 if and only if p ≤ 5 %.
 */
import { at, known } from "@hila/core/Lookup"
import { Statistics } from "@hila/model"
import * as PythonRandom from "../tasks/PythonRandom.ts"
import type { Difference, Options } from "./Paired.ts"

/** Sum and sum of squares to mean and standard error. */
const moments = (sum: number, squares: number, n: number) => {
  const mean = sum / n
  const variance = Math.max(0, (squares - n * mean * mean) / (n - 1))
  // What is left by rounding where all values are one is no spread.
  return { mean, error: variance <= 1e-24 * Math.max(1, squares / n) ? 0 : Math.sqrt(variance / n) }
}

/**
 * The mean of differences with its 95 % interval and two-sided p-value; one item, or items that all differ alike, give an
 * interval without an end, since they say nothing of how others would.
 */
export const studentised = (
  differences: ReadonlyArray<number>,
  { replicates = 1999, seed = 0 }: Options = {},
): Difference => {
  const n = differences.length
  const values = Float64Array.from(differences)
  const total = (of: (value: number) => number) => values.reduce((sum, value) => sum + of(value), 0)
  const whole = moments(
    total((value) => value),
    total((value) => value * value),
    n,
  )
  const { error, mean } = whole
  if (error === 0) return { difference: mean, low: -Infinity, high: Infinity, pValue: 1 }
  const random = PythonRandom.make(seed)
  const ratios = Float64Array.from({ length: replicates }, () => {
    let [sum, squares] = [0, 0]
    for (let drawn = 0; drawn < n; drawn++) {
      const i = Math.floor(random.random() * n)
      const value = known(values[i], i)
      sum += value
      squares += value * value
    }
    const own = moments(sum, squares, n)
    const distance = own.mean - mean
    return own.error > 0 ? distance / own.error : Math.sign(distance) * Infinity
  }).toSorted()
  // The k-th smallest and largest ratio bound the interval; an observed ratio at or beyond them has p ≤ 2k/(B + 1).
  const k = Math.floor(0.025 * (replicates + 1))
  const observed = mean / error
  const above = ratios.filter((ratio) => ratio >= observed).length
  const below = ratios.filter((ratio) => ratio <= observed).length
  return {
    difference: mean,
    low: mean - at(ratios, replicates - k) * error,
    high: mean - at(ratios, k - 1) * error,
    pValue: Math.min(1, (2 * (Math.min(above, below) + 1)) / (replicates + 1)),
  }
}

/** Normal quantiles of a two-sided level of 5 % and a power of 80 %, added. */
const levelAndPower = 1.959963984540054 + 0.8416212335729143

/**
 * The smallest mean difference that a paired test at 5 % would find with a probability of 80 %: (z₀.₉₇₅ + z₀.₈) times
 * the standard error of the items' differences. NaN where these do not vary, so that there is no error to go by.
 */
export const detectable = (differences: ReadonlyArray<number>): number =>
  levelAndPower * Statistics.standardError(differences) || Number.NaN
