/**
 * Two models on the same documents: how far apart they are, and how sure that is.
 *
 * Pairing takes the difficulty of documents out of the comparison, so differences that two standard errors side by side
 * cannot show may still be certain. Nothing here knows of tasks or files.
 */
import { at } from "@hila/core/Lookup"
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
  const below = at(sorted, Math.floor(place))
  const above = at(sorted, Math.ceil(place))
  return below + (above - below) * (place - Math.floor(place))
}

/** The share of sorted values below one, as `quantile` reads it; of all shares that it has, the nearest to a half. */
const shareBelow = (sorted: ReadonlyArray<number>, value: number): number => {
  const first = sorted.findIndex((own) => own >= value)
  if (first < 0) return 1
  const last = sorted.findLastIndex((own) => own <= value)
  if (last < 0) return 0
  const steps = sorted.length - 1
  if (last < first) {
    const [low, high] = [at(sorted, last), at(sorted, first)]
    return (last + (value - low) / (high - low)) / steps
  }
  return Math.min(Math.max(0.5, first / steps), last / steps)
}

/** How often is drawn, and by what. */
export interface Options {
  /** Some 2000 unless given. */
  readonly replicates?: number
  /** 0 unless given; the same seed gives the same figures. */
  readonly seed?: number
}

/** Indices of what was drawn, set by set. */
export type Draw = ReadonlyArray<ReadonlyArray<number>>

/**
 * Paired bootstrap (Efron & Tibshirani, 1993) of any statistic of one or more sets of items, each drawn from with
 * replacement and for itself: `statistic` is given the indices, so that both models (and whatever else enters, such as
 * the base of a retention) are measured on the same draw. The interval is that of percentiles, and the p-value the
 * level at which such an interval would just reach 0: one excludes 0 at 5 % if and only if the other is below.
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
  const below = shareBelow(drawn, 0)
  return {
    difference,
    low: quantile(drawn, 0.025),
    high: quantile(drawn, 0.975),
    pValue: Math.max(1 / (replicates + 1), 2 * Math.min(below, 1 - below)),
  }
}

/** The difference of two models' scores, as an aggregation makes them from values on the same documents. */
export const bootstrap = (
  { aggregate }: Aggregation,
  first: ReadonlyArray<Value>,
  second: ReadonlyArray<Value>,
  options?: Options,
): Difference =>
  resample(
    [first.length],
    ([indices = []]) =>
      aggregate(indices.map((i) => at(first, i))) - aggregate(indices.map((i) => at(second, i))),
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
  const differences = sets.map(({ first, second }) => first.map((value, i) => value - at(second, i)))
  return resample(
    differences.map(({ length }) => length),
    (draw) =>
      Statistics.mean(
        draw.map((indices, set) => Statistics.mean(indices.map((i) => at(at(differences, set), i)))),
      ),
    options,
  )
}

/** p-values adjusted for their number (Holm, 1979): the chance of any false alarm among them stays below the level. */
export const holm = (pValues: ReadonlyArray<number>): ReadonlyArray<number> => {
  const order = [...pValues.keys()].toSorted((a, b) => at(pValues, a) - at(pValues, b))
  const adjusted: Array<number> = [...pValues]
  let highest = 0
  for (const [rank, index] of order.entries()) {
    highest = Math.max(highest, Math.min(1, at(pValues, index) * (pValues.length - rank)))
    adjusted[index] = highest
  }
  return adjusted
}
