/** Where query heads lie in tensors, for values that a filter gives to some heads. */
import { entryOr } from "@hila/core/Lookup"
import { type Checkpoint, Unit } from "@hila/model"
import * as Effect from "effect/Effect"

/** A run of rows or columns, and the query heads it serves. */
export interface Span {
  readonly axis: 0 | 1
  readonly start: number
  readonly end: number
  readonly heads: ReadonlyArray<number>
}

/** The spans of tensors that have heads, by tensor. */
export type Heads = ReadonlyMap<string, ReadonlyArray<Span>>

/** The heads of a checkpoint; its architecture must have a record. */
export const of = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint) {
  const { units } = yield* Unit.partition(checkpoint, "queryHead")
  const count = (kind: Unit.UnitKind) => units.filter((unit) => unit.kind === kind && unit.layer === 0).length
  const group = count("queryHead") / count("kvHead")
  const heads = new Map<string, Array<Span>>()
  for (const { index, kind, slices } of units) {
    if (kind !== "queryHead" && kind !== "kvHead") continue
    const served =
      kind === "queryHead" ? [index] : Array.from({ length: group }, (_, inner) => index * group + inner)
    for (const { axis, end, start, tensor } of slices) {
      heads.set(tensor, [...entryOr(heads, tensor, []), { axis, start, end, heads: served }])
    }
  }
  return heads
})
