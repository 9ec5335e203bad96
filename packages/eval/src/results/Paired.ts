/**
 * Two models on the same documents: how far apart they are, and how sure that is.
 *
 * Pairing takes the difficulty of documents out of the comparison, so differences that two standard errors side by side
 * cannot show may still be certain. Nothing here knows of tasks or files.
 */
import { Statistics } from "@hila/model"
import type { Aggregation, Value } from "../metrics/Aggregation.ts"
import * as PythonRandom from "../tasks/PythonRandom.ts"

/** A difference, first model minus second, with its 95 % interval and two-sided p-value. */
export interface Difference {
  readonly difference: number
  readonly low: number
  readonly high: number
  readonly pValue: number
}

/** The value below which a share of sorted values lies, between neighbours by line. */
const quantile = (sorted: ReadonlyArray<number>, share: number): number => {
  const place = share * (sorted.length - 1)
  const below = sorted[Math.floor(place)] ?? Number.NaN
  const above = sorted[Math.ceil(place)] ?? Number.NaN
  return below + (above - below) * (place - Math.floor(place))
}

/** How often is drawn, and by what. */
export interface Options {
  /** 2000 unless given. */
  readonly replicates?: number
  /** 0 unless given; the same seed gives the same figures. */
  readonly seed?: number
}

/** Indices of what was drawn, set by set. */
export type Draw = ReadonlyArray<ReadonlyArray<number>>

/**
 * Paired bootstrap (Efron & Tibshirani, 1993) of any statistic of one or more sets of items, each drawn from with
 * replacement and for itself: `statistic` is given the indices, so that both models (and whatever else enters, such as
 * the base of a retention) are measured on the same draw. The interval is that of percentiles; the p-value counts
 * replicates that lie as far from the statistic as the statistic lies from 0.
 */
export const resample = (
  sizes: ReadonlyArray<number>,
  statistic: (draw: Draw) => number,
  { replicates = 2000, seed = 0 }: Options = {},
): Difference => {
  const difference = statistic(sizes.map((n) => Array.from({ length: n }, (_, i) => i)))
  const random = PythonRandom.make(seed)
  const drawn = Array.from({ length: replicates }, () =>
    statistic(sizes.map((n) => Array.from({ length: n }, () => Math.floor(random.random() * n)))),
  ).toSorted((a, b) => a - b)
  // Equal draws may differ in the last place; they count as equal.
  const slack = 1e-12 * Math.max(1, Math.abs(difference))
  const extreme = drawn.filter((value) => Math.abs(value - difference) >= Math.abs(difference) - slack).length
  return {
    difference,
    low: quantile(drawn, 0.025),
    high: quantile(drawn, 0.975),
    pValue: (extreme + 1) / (replicates + 1),
  }
}

const at =
  <A>(values: ReadonlyArray<A>) =>
  (i: number): A | number =>
    values[i] ?? Number.NaN

/** The difference of two models' scores, as an aggregation makes them from values on the same documents. */
export const bootstrap = (
  { aggregate }: Aggregation,
  first: ReadonlyArray<Value>,
  second: ReadonlyArray<Value>,
  options?: Options,
): Difference =>
  resample(
    [first.length],
    ([indices = []]) => aggregate(indices.map(at(first))) - aggregate(indices.map(at(second))),
    options,
  )

/**
 * The difference of two models' means over the same items, mean(first) − mean(second); with several sets of items, such as
 * one for each domain, the mean of the sets' differences.
 */
export const bootstrapMeans = (
  sets: ReadonlyArray<{ readonly first: ReadonlyArray<number>; readonly second: ReadonlyArray<number> }>,
  options?: Options,
): Difference => {
  const differences = sets.map(({ first, second }) =>
    first.map((value, i) => value - (second[i] ?? Number.NaN)),
  )
  return resample(
    differences.map(({ length }) => length),
    (draw) =>
      Statistics.mean(
        draw.map((indices, set) => Statistics.mean(indices.map((i) => differences[set]?.[i] ?? Number.NaN))),
      ),
    options,
  )
}

/**
 * McNemar's exact test (1947): of the documents that only one model gets right, is it as often the one as the other?
 * Two-sided binomial probability; 1 where the models never differ.
 */
export const mcNemar = (onlyFirst: number, onlySecond: number): number => {
  const n = onlyFirst + onlySecond
  let log = -n * Math.LN2
  let sum = 0
  for (let k = 0; k <= Math.min(onlyFirst, onlySecond); k++) {
    sum += Math.exp(log)
    log += Math.log(n - k) - Math.log(k + 1)
  }
  return Math.min(1, 2 * sum)
}

/** p-values adjusted for their number (Holm, 1979): the chance of any false alarm among them stays below the level. */
export const holm = (pValues: ReadonlyArray<number>): ReadonlyArray<number> => {
  const order = [...pValues.keys()].toSorted((a, b) => (pValues[a] ?? 1) - (pValues[b] ?? 1))
  const adjusted: Array<number> = [...pValues]
  let highest = 0
  for (const [rank, index] of order.entries()) {
    highest = Math.max(highest, Math.min(1, (pValues[index] ?? 1) * (pValues.length - rank)))
    adjusted[index] = highest
  }
  return adjusted
}

/** Normal quantiles of a two-sided level of 5 % and a power of 80 %. */
const [level, power] = [1.959963984540054, 0.8416212335729143]

/**
 * The smallest mean difference that a paired test at 5 % would find with a probability of 80 %: (z₀.₉₇₅ + z₀.₈) times
 * the standard error of the documents' differences.
 */
export const minimumDetectable = (differences: ReadonlyArray<number>): number =>
  (level + power) * Statistics.standardError(differences)
