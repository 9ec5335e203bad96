/**
 * Logit distance: how far apart models are in what they would say next, on a given set of texts.
 *
 *     g(i, j) = mean over examples of the mean over positions of ‖f_i(x) − f_j(x)‖²
 *
 * The squared L2 distance of the logits over the vocabulary, or the distance itself, at every position that predicts a
 * token of prompt or response: all but the last. Sens-Merging
 * ("Sens-Merging: Sensitivity-Guided Parameter Balancing for Merging Large Language Models", 2025) takes it between the
 * specialist whose texts these are and each other expert, for its cross-task scaling. Logits stream: those of one batch
 * of two models are in memory at a time.
 */
import { Artifact } from "@hila/core"
import { known } from "@hila/core/Lookup"
import type { CausalModel, Example } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ScoringError } from "./ScoringError.ts"
import * as Statistics from "./Statistics.ts"

/** What is averaged over positions: the square of the distance, or the distance. */
export const Norm = Schema.Literals(["squared", "euclidean"])
export type Norm = typeof Norm.Type

const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Distances of some models to a specialist, in the models' order. */
export const Distances = Schema.Struct({
  norm: Norm,
  examples: Schema.Int,
  rows: Schema.Array(
    Schema.Struct({
      /** Mean over the examples. */
      score: NonNegative,
      standardError: NonNegative,
      values: Schema.Array(NonNegative),
    }),
  ),
})
export type Distances = typeof Distances.Type

/** Distances as JSON. */
export const artifact: Artifact.Artifact<Distances> = Artifact.json("logit-distances", Distances, {
  summary: ({ examples, norm, rows }) =>
    `${norm} distance ${rows.map(({ score }) => score.toPrecision(4)).join(", ")} of ${rows.length} models, ${examples} examples`,
})

/** Examples whose logits are in memory together. */
const batchSize = 8

/** Mean over all positions but the last of the distance between rows of two [positions, vocabulary] matrices. */
const distance = (a: Float32Array, b: Float32Array, vocabulary: number, norm: Norm): number => {
  const positions = a.length / vocabulary - 1
  let sum = 0
  for (let position = 0; position < positions; position++) {
    let squares = 0
    for (let at = position * vocabulary; at < (position + 1) * vocabulary; at++) {
      squares += (known(a[at]) - known(b[at])) ** 2
    }
    sum += norm === "squared" ? squares : Math.sqrt(squares)
  }
  return positions > 0 ? sum / positions : 0
}

/** The distance of each of some models to a specialist of the same vocabulary on each example, [models][examples], ≥ 0. */
export const values = Effect.fn("LogitDistance.values")(function* (
  specialist: CausalModel.CausalModel,
  others: ReadonlyArray<CausalModel.CausalModel>,
  examples: ReadonlyArray<Example.Example>,
  norm: Norm = "squared",
) {
  const { vocabSize } = specialist.shape
  for (const { shape } of others) {
    if (vocabSize === shape.vocabSize) continue
    return yield* new ScoringError({
      subject: "logit distance",
      problem: `the models have vocabularies of ${vocabSize} and ${shape.vocabSize} tokens; give models of one vocabulary`,
    })
  }
  const found: ReadonlyArray<Array<number>> = others.map(() => [])
  for (let start = 0; start < examples.length; start += batchSize) {
    const rows = examples.slice(start, start + batchSize).map(({ tokens }) => tokens)
    const own = yield* specialist.logits(rows)
    for (const [at, other] of others.entries()) {
      const logits = yield* other.logits(rows)
      for (const [k, theirs] of logits.entries()) {
        known(found[at]).push(distance(theirs, known(own[k]), vocabSize, norm))
      }
    }
  }
  return found
})

/** Distances from their values, [models][examples]; fails where there is no example. */
export const summarise = Effect.fnUntraced(function* (
  found: ReadonlyArray<ReadonlyArray<number>>,
  examples: number,
  norm: Norm,
): Effect.fn.Return<Distances, ScoringError> {
  if (examples === 0) {
    return yield* new ScoringError({
      subject: "logit distance",
      problem: "no examples were given; give one or more",
    })
  }
  const rows = found.map((own) => ({
    score: Statistics.mean(own),
    standardError: Statistics.standardError(own),
    values: own,
  }))
  return { norm, examples, rows }
})
