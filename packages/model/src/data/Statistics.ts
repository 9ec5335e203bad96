/**
 * The few statistics that reports state: mean and standard error of a sample.
 */
import { known } from "@hila/core/Lookup"

/** Arithmetic mean; 0 of nothing. */
export const mean = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += known(values[i])
  return values.length === 0 ? 0 : sum / values.length
}

/** Standard error of the mean, s/√n with the n-1 variance; 0 below two values, where none can be estimated. */
export const standardError = (values: ArrayLike<number>): number => {
  const n = values.length
  if (n < 2) return 0
  const center = mean(values)
  let squares = 0
  for (let i = 0; i < n; i++) squares += (known(values[i]) - center) ** 2
  return Math.sqrt(squares / (n - 1) / n)
}
