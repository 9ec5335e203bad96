/**
 * Every way of answering on the same test rows of one seed: what each says, how sure it is, what it costs.
 */
import { Artifact } from "@hila/core"
import { at } from "@hila/core/Lookup"
import * as Schema from "effect/Schema"
import * as Metrics from "./Metrics.ts"

export const kinds = ["expert", "model", "strategy", "baseline", "oracle"] as const

/** One way of answering. */
export const Entry = Schema.Struct({
  name: Schema.String,
  /** `expert` answers alone, `model` is one larger or merged, `oracle` is right where any expert is. */
  kind: Schema.Literals(kinds),
  /** Class of each test row. */
  predicted: Schema.Array(Schema.Int),
  /** Absent where there are no probabilities. */
  nll: Schema.optionalKey(Schema.Finite),
  ece: Schema.optionalKey(Schema.Finite),
  /** Parameters kept, and those that take part in an answer, on average. */
  stored: Schema.Finite,
  active: Schema.Finite,
  /** Operations per text, on average. */
  flops: Schema.Finite,
  bytes: Schema.Finite,
  validationMacroF1: Schema.Finite,
})
export type Entry = typeof Entry.Type

export const Evaluation = Schema.Struct({
  seed: Schema.Int,
  classes: Schema.Array(Schema.String),
  labels: Schema.Array(Schema.Int),
  entries: Schema.Array(Entry),
})
export type Evaluation = typeof Evaluation.Type

export const artifact: Artifact.Artifact<Evaluation> = Artifact.json("collab-evaluation", Evaluation, {
  summary: ({ entries, labels, seed }) =>
    `seed ${seed}: ${entries.length} ways to answer ${labels.length} texts`,
})

/** An entry of log-probabilities [rows, classes]. */
export const entry = (
  given: Pick<Entry, "name" | "kind" | "stored" | "active" | "flops" | "bytes" | "validationMacroF1">,
  logProbabilities: Float32Array,
  labels: ReadonlyArray<number>,
  classes: number,
): Entry => ({
  ...given,
  predicted: [...Metrics.classesOf(logProbabilities, classes)],
  nll: Metrics.nll(logProbabilities, labels, classes),
  ece: Metrics.ece(logProbabilities, labels, classes),
})

/** The class most experts say; among equals, that of the expert who comes first. */
export const vote = (predictions: ReadonlyArray<ArrayLike<number>>): ReadonlyArray<number> =>
  Array.from(at(predictions, 0), (_, row) => {
    const said = predictions.map((of) => at(of, row))
    const votes = said.map((label) => said.filter((other) => other === label).length)
    return at(said, votes.indexOf(Math.max(...votes)))
  })

/** The right class where any expert says it, else what the first says: no strategy can know this. */
export const oracle = (
  predictions: ReadonlyArray<ArrayLike<number>>,
  labels: ReadonlyArray<number>,
): ReadonlyArray<number> =>
  labels.map((label, row) =>
    predictions.some((of) => of[row] === label) ? label : at(at(predictions, 0), row),
  )
