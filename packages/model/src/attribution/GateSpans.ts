/**
 * Which gates a unit moves, among those of all units.
 */
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Unit } from "../units/Unit.ts"

/** Entries [start, end) of a list. */
type Span = readonly [start: number, end: number]

/** Spans in lists of gates [layers, heads], [layers, kvHeads] and [layers]. */
export interface GateSpans {
  readonly queryHeads: Span
  readonly kvHeads: Span
  readonly mlp: Span
}

const none: Span = [0, 0]
const one = (at: number): Span => [at, at + 1]

/** The gates of a unit: a key-value group has its query heads and its key-value head, a layer all of its own. */
export const of = (
  { heads, kvHeads }: Pick<ModelShape, "heads" | "kvHeads">,
  { index, kind, layer }: Pick<Unit, "kind" | "layer" | "index">,
): GateSpans => {
  const [query, keyValue] = [layer * heads, layer * kvHeads]
  switch (kind) {
    case "kvGroup": {
      const perGroup = heads / kvHeads
      const first = query + index * perGroup
      return { queryHeads: [first, first + perGroup], kvHeads: one(keyValue + index), mlp: none }
    }
    case "queryHead":
      return { queryHeads: one(query + index), kvHeads: none, mlp: none }
    case "kvHead":
      return { queryHeads: none, kvHeads: one(keyValue + index), mlp: none }
    case "mlp":
      return { queryHeads: none, kvHeads: none, mlp: one(layer) }
    case "layer":
      return { queryHeads: [query, query + heads], kvHeads: [keyValue, keyValue + kvHeads], mlp: one(layer) }
  }
}
