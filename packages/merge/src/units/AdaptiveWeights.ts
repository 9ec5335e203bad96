/**
 * Adaptive weights: each expert's share in each unit, by its relative importance there.
 *
 * Relative importance has mean 1 inside each expert and kind, so experts compare on equal terms however strong their
 * losses are. Equal importance gives 1/K each, and `fuse` then does what task arithmetic does.
 */
import { at, known } from "@hila/core/Lookup"
import type { UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "../MergeError.ts"
import type { UnitWeights } from "./UnitWeights.ts"

/** How importance becomes shares. */
export type Form = "softmax" | "share" | "winner"

/** Options of `adaptiveWeights`. */
export interface AdaptiveWeightsParams {
  /**
   * `softmax` (by default) of Î / T; `share`: Î_t / Σ_s Î_s; `winner`: all to the largest, shared where several are. Where
   * no expert has any importance all share equally.
   */
  readonly form?: Form | undefined
  /** T > 0 of the softmax: towards 0 the most important expert takes a unit alone, towards ∞ all share equally. */
  readonly temperature: number
}

const method = "adaptiveWeights"

/**
 * Shares per unit and expert, by default w_{t,u} = exp(Î_{t,u} / T) / Σ_s exp(Î_{s,u} / T), for K ≥ 1 tables of one partition.
 *
 * `importance[expert]` in the order of the experts of the merge. Fails when the tables are not of the same units.
 */
export const adaptiveWeights = Effect.fn("adaptiveWeights")(function* (
  inputs: { readonly importance: ReadonlyArray<UnitTable.UnitTable> },
  params: AdaptiveWeightsParams,
): Effect.fn.Return<UnitWeights, MergeError> {
  const { importance } = inputs
  const [first] = importance
  const { temperature } = params
  if (!(temperature > 0 && temperature < Infinity)) {
    const problem = `expected a finite number above 0, got ${temperature}`
    return yield* new MergeError({ method, input: "temperature", problem })
  }
  if (first === undefined) {
    const problem = "expected one table per expert, got none"
    return yield* new MergeError({ method, input: "importance", problem })
  }
  for (const [expert, table] of importance.entries()) {
    const problem = difference(first, table)
    if (problem !== undefined) {
      return yield* new MergeError({ method, input: `importance ${expert + 1}`, problem })
    }
  }
  return {
    scheme: first.scheme,
    experts: importance.length,
    rows: first.rows.map(({ index, kind, layer, size, unit }, row) => ({
      unit,
      kind,
      layer,
      index,
      size,
      weights: sharesOf(
        importance.map((table) => at(table.rows, row).relative),
        params,
      ),
    })),
  }
})

const sharesOf = (relative: ReadonlyArray<number>, { form, temperature }: AdaptiveWeightsParams) => {
  if (form === undefined || form === "softmax") return softmax(relative.map((value) => value / temperature))
  const largest = Math.max(...relative)
  const parts =
    form === "share" && largest > 0 ? relative : relative.map((value) => (value === largest ? 1 : 0))
  const sum = parts.reduce((total, part) => total + part, 0)
  return parts.map((part) => part / sum)
}

/** exp(x_i − max) / Σ exp(x_j − max): sums to 1, exactly 1/K when all are equal. */
export const softmax = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const largest = Math.max(...values)
  const powers = values.map((value) => Math.exp(value - largest))
  const sum = powers.reduce((total, power) => total + power, 0)
  return powers.map((power) => power / sum)
}

/** What makes a table one of other units than the first; undefined when nothing does. */
const difference = (first: UnitTable.UnitTable, table: UnitTable.UnitTable): string | undefined => {
  if (table.scheme !== first.scheme) return `has scheme ${table.scheme}, table 1 has ${first.scheme}`
  if (table.rows.length !== first.rows.length) {
    return `has ${table.rows.length} units, table 1 has ${first.rows.length}: all tables must be of one model`
  }
  const at = table.rows.findIndex(
    (row, index) => row.unit !== known(first.rows[index]).unit || row.size !== known(first.rows[index]).size,
  )
  if (at === -1) return undefined
  const [got, expected] = [known(table.rows[at]), known(first.rows[at])]
  return `row ${at + 1} is ${got.unit} of size ${got.size}, in table 1 ${expected.unit} of size ${expected.size}: all tables must be of one model`
}
