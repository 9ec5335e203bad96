/**
 * Unit weights: for each unit of a model, the share of each expert in the merge.
 *
 * They come from importance (`adaptiveWeights`) or from the user's own hand, and are read by `fuse`.
 */
import { Artifact } from "@hila/core"
import { UnitTable } from "@hila/model"
import * as Schema from "effect/Schema"

/** One unit: `weights[expert]` ≥ 0, sum 1, in the order of the experts. */
export const Row = Schema.Struct({
  unit: Schema.String,
  kind: UnitTable.Kind,
  layer: Schema.Int,
  index: Schema.Int,
  size: Schema.Int,
  weights: Schema.Array(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
})
export type Row = typeof Row.Type

/** The shares of `experts` experts in every unit of a partition. */
export const UnitWeights = Schema.Struct({
  scheme: UnitTable.Scheme,
  experts: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  rows: Schema.Array(Row),
})
export type UnitWeights = typeof UnitWeights.Type

const summary = ({ experts, rows }: UnitWeights): string => {
  const largest = rows.reduce((most, row) => Math.max(most, ...row.weights), 0)
  return `${rows.length} units × ${experts} experts, largest share ${largest.toFixed(3)}`
}

const show = (value: UnitWeights): string =>
  [
    summary(value),
    ...value.rows.map(
      ({ unit, weights }) => `  ${unit.padEnd(24)} ${weights.map((weight) => weight.toFixed(3)).join("  ")}`,
    ),
  ].join("\n")

/** Unit weights as JSON. */
export const artifact: Artifact.Artifact<UnitWeights> = Artifact.json("unit-weights", UnitWeights, {
  summary,
  show,
})
