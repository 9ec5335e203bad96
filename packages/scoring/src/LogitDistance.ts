/**
 * Logit distance: how far apart two models are in what they would say next, on a given set of texts.
 *
 *     g(i, j) = mean over examples of the mean over positions of ‖f_i(x) − f_j(x)‖²
 *
 * The squared L2 distance of the logits over the vocabulary, at every position that predicts a token of prompt or
 * response: all but the last. Sens-Merging
 * ("Sens-Merging: Sensitivity-Guided Parameter Balancing for Merging Large Language Models", 2025) calls it cross-task
 * scaling. Logits stream: those of one batch of both models are in memory at a time.
 */
import type { CausalModel, Example } from "@hila/model"
import * as Effect from "effect/Effect"
import { ScoringError } from "./ScoringError.ts"

/** Examples whose logits are in memory together. */
const batchSize = 8

/** Mean over all positions but the last of the squared distance between rows of two [positions, vocabulary] matrices. */
const distance = (a: Float32Array, b: Float32Array, vocabulary: number): number => {
  const end = a.length - vocabulary
  let sum = 0
  for (let at = 0; at < end; at++) sum += ((a[at] ?? 0) - (b[at] ?? 0)) ** 2
  return end === 0 ? 0 : sum / (end / vocabulary)
}

/** The distance of two models of one vocabulary on each example, ≥ 0. */
export const measure = Effect.fn("LogitDistance.measure")(function* (
  first: CausalModel,
  second: CausalModel,
  examples: ReadonlyArray<Example.Example>,
) {
  const { vocabSize } = first.shape
  if (vocabSize !== second.shape.vocabSize) {
    return yield* new ScoringError({
      subject: "logit distance",
      problem: `the models have vocabularies of ${vocabSize} and ${second.shape.vocabSize} tokens; give models of one vocabulary`,
    })
  }
  const values: Array<number> = []
  for (let start = 0; start < examples.length; start += batchSize) {
    const rows = examples.slice(start, start + batchSize).map(({ tokens }) => tokens)
    const [a, b] = [yield* first.logits(rows), yield* second.logits(rows)]
    for (const [index, logits] of a.entries()) {
      values.push(distance(logits, b[index] ?? new Float32Array(logits.length), vocabSize))
    }
  }
  return values
})
