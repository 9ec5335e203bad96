/**
 * Magnitude: how large the expert's change in a unit is, ‖δ_u‖₂. No data, no model run; a null to compare with.
 *
 * The length of the unit's task vector, not in nats. It is what merging methods without data go by.
 */
import { entry, known, last } from "@hila/core/Lookup"
import { Checkpoint, type Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Method from "./Method.ts"
import { concatenate } from "./Parts.ts"

/** Sum of squares of expert − base over a slice of a tensor of shape [rows, columns]; a vector is one column. */
const squares = (
  base: Float32Array, // [rows, columns]
  expert: Float32Array, // [rows, columns]
  columns: number,
  { axis, end, start }: Unit.Slice,
): number => {
  const rows = base.length / columns
  const [firstRow, lastRow] = axis === 0 ? [start, end] : [0, rows]
  const [firstColumn, lastColumn] = axis === 1 ? [start, end] : [0, columns]
  let sum = 0
  for (let row = firstRow; row < lastRow; row++) {
    for (let at = row * columns + firstColumn; at < row * columns + lastColumn; at++) {
      sum += (known(expert[at]) - known(base[at])) ** 2
    }
  }
  return sum
}

/** ‖δ_u‖₂ of every unit, tensor by tensor: one tensor of both models is in memory at a time. */
const norms = Effect.fnUntraced(function* ({ base, expert, units }: Method.Subject) {
  const sums = new Float64Array(units.length)
  const tensors = new Set(units.flatMap(({ slices }) => slices.map(({ tensor }) => tensor)))
  for (const tensor of tensors) {
    const [before, after] = [
      yield* Checkpoint.readFloat32(base, tensor),
      yield* Checkpoint.readFloat32(expert, tensor),
    ]
    const shape = entry(base.tensors, tensor).shape
    const columns = shape.length > 1 ? last(shape) : 1
    for (const [u, { slices }] of units.entries()) {
      for (const slice of slices) {
        if (slice.tensor === tensor) sums[u] = known(sums[u]) + squares(before, after, columns, slice)
      }
    }
  }
  return Array.from(sums, (sum) => [Math.sqrt(sum)])
})

export const method = Method.make({
  name: "magnitude",
  version: 1,
  summary: "how large the unit's change is; a null without data",
  sources: [],
  cost: () => Method.passes(0),
  parts: (task) => [{ id: "all", measure: norms(task) }],
  combine: concatenate,
})
