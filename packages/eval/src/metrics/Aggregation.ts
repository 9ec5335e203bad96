/**
 * Aggregations: from one value per document to the score of a task.
 *
 * `standardError` says how the reference harness estimates the error: in closed form for means, by bootstrap for what
 * has no such form, and not at all for ratios of sums.
 */
import { atOr, entryOr } from "@hila/core/Lookup"
import { Statistics } from "@hila/model"

/** A metric's value for one document: a number, or the gold answer with the prediction, or a sum with its weight. */
export type Value = number | readonly [number, number] | readonly [number, ReadonlyArray<number>]

export interface Aggregation {
  readonly aggregate: (values: ReadonlyArray<Value>) => number
  readonly standardError: "closed" | "bootstrap" | "none"
}

const numbers = (values: ReadonlyArray<Value>): ReadonlyArray<number> =>
  values.map((value) => (typeof value === "number" ? value : Number.NaN))

const pairs = (values: ReadonlyArray<Value>): ReadonlyArray<readonly [number, number]> =>
  values.map((value) =>
    typeof value === "number" || typeof value[1] !== "number"
      ? [Number.NaN, Number.NaN]
      : [value[0], value[1]],
  )

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = atOr(sorted, middle, Number.NaN)
  return sorted.length % 2 === 1 ? upper : (atOr(sorted, middle - 1, Number.NaN) + upper) / 2
}

/** Sum of values over sum of weights. */
const weightedMean = (values: ReadonlyArray<Value>): number => {
  let [sum, weight] = [0, 0]
  for (const [value, own] of pairs(values)) {
    sum += value
    weight += own
  }
  return sum / weight
}

/** F1 of class 1 (gold, prediction): 2TP / (2TP + FP + FN); 0 where nothing is positive. */
const f1 = (values: ReadonlyArray<Value>): number => {
  let [hits, positives] = [0, 0]
  for (const [gold, predicted] of pairs(values)) {
    if (gold === 1 && predicted === 1) hits++
    positives += Number(gold === 1) + Number(predicted === 1)
  }
  return positives === 0 ? 0 : (2 * hits) / positives
}

/** Matthews correlation over any number of classes (Gorodkin, 2004); 0 where one side has a single class. */
const matthews = (values: ReadonlyArray<Value>): number => {
  const [golds, predictions] = [new Map<number, number>(), new Map<number, number>()]
  let right = 0
  for (const [gold, predicted] of pairs(values)) {
    golds.set(gold, entryOr(golds, gold, 0) + 1)
    predictions.set(predicted, entryOr(predictions, predicted, 0) + 1)
    if (gold === predicted) right++
  }
  const n = values.length
  const squares = (counts: ReadonlyMap<number, number>) =>
    [...counts.values()].reduce((sum, count) => sum + count ** 2, 0)
  const both = [...golds].reduce((sum, [label, count]) => sum + count * entryOr(predictions, label, 0), 0)
  const spread = (n ** 2 - squares(predictions)) * (n ** 2 - squares(golds))
  return spread === 0 ? 0 : (right * n - both) / Math.sqrt(spread)
}

/** Mean squared distance of the probabilities from the gold answer's (Brier, 1950), 0…2. */
const brier = (values: ReadonlyArray<Value>): number =>
  Statistics.mean(
    values.map((value) => {
      if (typeof value === "number" || typeof value[1] === "number") return Number.NaN
      const [gold, probabilities] = value
      return probabilities.reduce((sum, p, i) => sum + (p - Number(i === gold)) ** 2, 0)
    }),
  )

/** The mean over documents. */
export const mean: Aggregation = {
  aggregate: (values) => Statistics.mean(numbers(values)),
  standardError: "closed",
}

/** The aggregations, by the names that task files use. */
export const table: Readonly<Record<string, Aggregation>> = {
  mean,
  nanmean: {
    aggregate: (values) => Statistics.mean(numbers(values).filter((value) => !Number.isNaN(value))),
    standardError: "bootstrap",
  },
  median: { aggregate: (values) => median(numbers(values)), standardError: "bootstrap" },
  perplexity: {
    aggregate: (values) => Math.exp(-Statistics.mean(numbers(values))),
    standardError: "bootstrap",
  },
  weighted_perplexity: {
    aggregate: (values) => Math.exp(-weightedMean(values)),
    standardError: "none",
  },
  bits_per_byte: { aggregate: (values) => -weightedMean(values) / Math.LN2, standardError: "none" },
  f1: { aggregate: f1, standardError: "bootstrap" },
  matthews_corrcoef: { aggregate: matthews, standardError: "bootstrap" },
  mcc: { aggregate: matthews, standardError: "bootstrap" },
  brier_score: { aggregate: brier, standardError: "none" },
}

/** The aggregation of that name. */
export const named = (name: string): Aggregation | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined
