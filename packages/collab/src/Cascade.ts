/**
 * Early exit (F7): experts in the order of their cost, each asked only while the ones before are unsure.
 *
 * Expert i answers where max softmax(zᵢ/Tᵢ) ≥ θᵢ; a text that nobody is sure of gets the answer of a head over all
 * experts. Thresholds are chosen on validation rows: the most accurate ones whose mean cost keeps within a budget.
 */
import { Artifact } from "@hila/core"
import { at, atOr, known } from "@hila/core/Lookup"
import * as Schema from "effect/Schema"
import type { HeadData } from "./heads/HeadData.ts"
import * as Metrics from "./Metrics.ts"

export const Cascade = Schema.Struct({
  /** Indices of experts, cheapest first. */
  order: Schema.Array(Schema.Int),
  /** One per expert in that order; above 1 for one that never answers by itself. */
  thresholds: Schema.Array(Schema.Finite),
  temperatures: Schema.Array(Schema.Finite),
  /** Allowed share of the cost of all experts, and the share on the validation rows. */
  budget: Schema.Finite,
  share: Schema.Finite,
  accuracy: Schema.Finite,
})
export type Cascade = typeof Cascade.Type

export const artifact: Artifact.Artifact<Cascade> = Artifact.json("cascade", Cascade, {
  summary: ({ accuracy, budget, share, thresholds }) =>
    `budget ${budget}: thresholds ${thresholds.map((t) => t.toFixed(2)).join(", ")}, ` +
    `${(100 * share).toFixed(0)} % of the cost, validation accuracy ${accuracy.toFixed(3)}`,
})

/** What a cascade makes of rows. */
export interface Outcome {
  /** [rows, classes] */
  readonly logProbabilities: Float32Array
  /** How many experts each row took, 1…M. */
  readonly reached: Int32Array
  /** 1 where the head over all experts answered. */
  readonly fellThrough: Uint8Array
}

/** Largest probability and all log-probabilities of an expert's logits for one row. */
const answer = (logits: Float32Array, row: number, classes: number, temperature: number) => {
  const log = Metrics.logSoftmax(logits.subarray(row * classes, (row + 1) * classes), classes, temperature)
  return { log, confidence: Math.exp(Math.max(...log)) }
}

/** Runs a cascade over rows whose logits are all known; `last` is the head's log-probabilities [rows, classes]. */
export const outcome = (
  { order, temperatures, thresholds }: Pick<Cascade, "order" | "thresholds" | "temperatures">,
  { count, logits }: Pick<HeadData, "count" | "logits">,
  last: Float32Array,
  classes: number,
): Outcome => {
  const logProbabilities = last.slice()
  const reached = new Int32Array(count).fill(order.length)
  const fellThrough = new Uint8Array(count).fill(1)
  for (let row = 0; row < count; row++) {
    for (const [place, expert] of order.entries()) {
      const { confidence, log } = answer(known(logits[expert]), row, classes, atOr(temperatures, expert, 1))
      if (confidence < atOr(thresholds, place, 2)) continue
      logProbabilities.set(log, row * classes)
      reached[row] = place + 1
      fellThrough[row] = 0
      break
    }
  }
  return { logProbabilities, reached, fellThrough }
}

/** Mean share of the cost of all experts, by what each expert costs. */
export const shareOf = (order: ReadonlyArray<number>, costs: ReadonlyArray<number>, reached: Int32Array) => {
  const total = costs.reduce((a, b) => a + b, 0)
  let sum = 0
  for (const places of reached) {
    for (const expert of order.slice(0, places)) sum += at(costs, expert)
  }
  return sum / Math.max(1, reached.length) / total
}

/** Values a threshold is chosen from: quantiles of the confidence, and one that nothing reaches. */
const candidates = (confidences: Float64Array, steps: number): ReadonlyArray<number> => {
  const sorted = confidences.toSorted()
  const quantile = (share: number) =>
    atOr(sorted, Math.min(sorted.length - 1, Math.floor(share * sorted.length)), 1)
  return [...new Set([0, ...Array.from({ length: steps - 1 }, (_, i) => quantile((i + 1) / steps)), 1.01])]
}

export interface Choice {
  readonly data: HeadData
  /** The head's log-probabilities of those rows. */
  readonly last: Float32Array
  readonly classes: number
  /** Operations of each expert per text. */
  readonly costs: ReadonlyArray<number>
  /** Share of the cost of all experts, 0…1. */
  readonly budget: number
}

/** Thresholds for a budget. The last expert never answers alone: what it adds goes through the head. */
export const choose = ({ budget, classes, costs, data, last }: Choice): Cascade => {
  const order = costs.map((_, i) => i).toSorted((a, b) => at(costs, a) - at(costs, b) || a - b)
  const temperatures = data.logits.map((logits) => Metrics.temperature(logits, data.labels, classes))
  const early = order.slice(0, -1)
  const asked = order.map((expert) =>
    Array.from({ length: data.count }, (_, row) => {
      const { confidence, log } = answer(at(data.logits, expert), row, classes, at(temperatures, expert))
      return { confidence, isRight: log.indexOf(Math.max(...log)) === data.labels[row] }
    }),
  )
  const right = Metrics.correct(Metrics.classesOf(last, classes), data.labels)
  const total = costs.reduce((a, b) => a + b, 0)
  const judge = (thresholds: ReadonlyArray<number>) => {
    let [hits, cost] = [0, 0]
    for (let row = 0; row < data.count; row++) {
      let isRight = right[row] === 1
      for (const [place, expert] of order.entries()) {
        cost += known(costs[expert])
        const own = known(known(asked[place])[row])
        if (place < early.length && own.confidence >= known(thresholds[place])) {
          isRight = own.isRight
          break
        }
      }
      hits += isRight ? 1 : 0
    }
    return { accuracy: hits / Math.max(1, data.count), share: cost / total / Math.max(1, data.count) }
  }
  // All combinations of thresholds where these are few; with many experts, one share of texts for all.
  const steps = early.length <= 2 ? 20 : early.length === 3 ? 10 : 20
  const grids = early.map((_, place) =>
    candidates(
      Float64Array.from(at(asked, place), ({ confidence }) => confidence),
      steps,
    ),
  )
  const combinations: ReadonlyArray<ReadonlyArray<number>> =
    early.length <= 3
      ? grids.reduce<ReadonlyArray<ReadonlyArray<number>>>(
          (all, grid) => all.flatMap((prefix) => grid.map((value) => [...prefix, value])),
          [[]],
        )
      : Array.from({ length: steps + 1 }, (_, i) =>
          grids.map((grid) => at(grid, Math.min(i, grid.length - 1))),
        )
  let best: { thresholds: ReadonlyArray<number>; accuracy: number; share: number } | undefined
  for (const thresholds of combinations) {
    const { accuracy, share } = judge(thresholds)
    if (share > budget) continue
    const isBetter =
      best === undefined || accuracy > best.accuracy || (accuracy === best.accuracy && share < best.share)
    if (isBetter) best = { thresholds, accuracy, share }
  }
  // The first expert alone is the cheapest there is, even where the budget is below it.
  const cheapest = early.map(() => 0)
  const chosen = best ?? { thresholds: cheapest, ...judge(cheapest) }
  return {
    order,
    thresholds: [...chosen.thresholds, 1.01],
    temperatures,
    budget,
    share: chosen.share,
    accuracy: chosen.accuracy,
  }
}
