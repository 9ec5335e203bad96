/**
 * Scores: a unit table that also keeps every unit's value on every golden example.
 *
 * It stands wherever a unit table does. The values allow what a mean does not: other standard errors, paired
 * comparisons, and scores of a part of the examples without measuring again.
 */
import { Artifact } from "@hila/core"
import { UnitTable } from "@hila/model"
import * as Schema from "effect/Schema"
import * as HeatMap from "./HeatMap.ts"

/** One unit's score with its values, [examples] in nats; one value for methods without data. */
export const Row = Schema.Struct({ ...UnitTable.Row.fields, values: Schema.Array(Schema.Finite) })
export type Row = typeof Row.Type

/** Scores of one expert's units on its golden data. */
export const Scores = Schema.Struct({
  scheme: UnitTable.Scheme,
  method: Schema.String,
  /** Golden examples behind each score. */
  examples: Schema.Int,
  rows: Schema.Array(Row),
})
export type Scores = typeof Scores.Type

/** One line: units, method, examples, the most important unit. */
export const summary = (scores: Scores): string =>
  `${UnitTable.artifact.summary(scores)}, ${scores.examples} examples`

/** Scores as JSON. */
export const artifact: Artifact.Artifact<Scores> = Artifact.json("scores", Scores, {
  summary,
  show: UnitTable.artifact.show,
  figures: (scores) => [
    {
      _tag: "Picture",
      title: `Importance of every unit, by ${scores.method}`,
      svg: HeatMap.svg(scores),
      note: "Blue units help the expert on its golden data, red ones harm it; strength is relative to the largest of the kind.",
    },
  ],
})
