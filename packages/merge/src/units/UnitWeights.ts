/**
 * Unit weights: for each unit of a model, what each expert counts for in the merge.
 *
 * They come from importance (`adaptiveWeights`), from an optimisation, or from the user's own hand, and are read by
 * `fuse` and by every task-vector method of `merge`.
 */
import { Artifact } from "@hila/core"
import { UnitTable } from "@hila/model"
import * as Schema from "effect/Schema"

/** One unit, its weights in the order of the experts. */
export const Row = Schema.Struct({
  unit: Schema.String,
  kind: UnitTable.Kind,
  layer: Schema.Int,
  index: Schema.Int,
  size: Schema.Int,
  weights: Schema.Array(Schema.Finite),
})
export type Row = typeof Row.Type

/** The weights of `experts` experts in every unit of a partition. */
export const UnitWeights = Schema.Struct({
  scheme: UnitTable.Scheme,
  experts: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  /**
   * `share`, the default: a row's weights are the experts' shares of 1, and an expert's coefficient is its share times
   * the number of experts, so that equal shares change nothing. `coefficient`: they are the coefficients.
   */
  meaning: Schema.optionalKey(Schema.Literals(["share", "coefficient"])),
  rows: Schema.Array(Row),
})
export type UnitWeights = typeof UnitWeights.Type

/** What multiplies each expert's task vector in a unit. */
export const coefficients = ({ experts, meaning }: UnitWeights, row: Row): ReadonlyArray<number> =>
  meaning === "coefficient" ? row.weights : row.weights.map((weight) => weight * experts)

const summary = ({ experts, meaning = "share", rows }: UnitWeights): string => {
  const largest = rows.reduce((most, row) => Math.max(most, ...row.weights), -Infinity)
  return `${rows.length} units × ${experts} experts, largest ${meaning} ${largest.toFixed(3)}`
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
