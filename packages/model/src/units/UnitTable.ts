/**
 * Unit tables: one number per unit of a model. Scoring writes them, merging reads them.
 *
 * A table holds results only; how they were measured is its `method`.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"

/** The kinds of unit; see `Unit`. */
export const Kind = Schema.Literals(["kvGroup", "queryHead", "kvHead", "mlp", "layer"])
/** The ways of dividing a model; see `Unit.partition`. */
export const Scheme = Schema.Literals(["kvGroup", "queryHead", "layer"])

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * One unit: `size` in scalars; `score` signed, in nats; `standardError` ≥ 0 in nats; `relative` ≥ 0 with mean 1 inside
 * each kind (heads, MLPs, layers).
 */
export const Row = Schema.Struct({
  unit: Schema.String,
  kind: Kind,
  layer: Count,
  index: Count,
  size: Count,
  score: Schema.Finite,
  standardError: NonNegative,
  relative: NonNegative,
})
export type Row = typeof Row.Type

/** A number for every unit of a partition. */
export const UnitTable = Schema.Struct({
  scheme: Scheme,
  method: Schema.String,
  rows: Schema.Array(Row),
})
export type UnitTable = typeof UnitTable.Type

const summary = ({ method, rows }: UnitTable): string => {
  const top = rows.reduce<Row | undefined>(
    (best, row) => (best === undefined || row.relative > best.relative ? row : best),
    undefined,
  )
  return `${rows.length} units by ${method}${top === undefined ? "" : `, most important ${top.unit}`}`
}

/** The table as text, most important unit first. */
const show = (table: UnitTable): string =>
  [
    summary(table),
    ...table.rows
      .toSorted((a, b) => b.relative - a.relative)
      .map(
        ({ relative, score, standardError, unit }) =>
          `  ${unit.padEnd(24)} ${score.toExponential(3).padStart(11)} ± ${standardError.toExponential(1)}  ${relative.toFixed(3)}`,
      ),
  ].join("\n")

/** A unit table as JSON. */
export const artifact: Artifact.Artifact<UnitTable> = Artifact.json("unit-table", UnitTable, {
  summary,
  show,
})
