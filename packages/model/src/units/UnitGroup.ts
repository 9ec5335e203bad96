/**
 * Groups of weights by unit: what methods that weigh heads and MLPs give one number to.
 */
import * as LayerGroup from "./LayerGroup.ts"
import type { Unit } from "./Unit.ts"
import type { Grouping } from "../models/VirtualMerge.ts"

/** Weights by the unit they belong to, by its id; tensors outside every unit by layer, see `LayerGroup`. */
export const of = (units: ReadonlyArray<Unit>): Grouping => {
  const spans = units.flatMap(({ id, slices }) => slices.map((slice) => ({ ...slice, group: id })))
  const byTensor = Map.groupBy(spans, ({ tensor }) => tensor)
  return (tensor) => byTensor.get(tensor) ?? LayerGroup.of(tensor)
}
