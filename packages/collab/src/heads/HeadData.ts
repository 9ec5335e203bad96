/**
 * The rows a head learns from or is asked about, as arrays, and as inputs of its graph.
 */
import { at, known } from "@hila/core/Lookup"
import * as Batches from "@hila/model/runtime/Batches"
import type { Tensors } from "@hila/model/runtime/Protocol"
import type { Table, Set } from "../Features.ts"
import { type HeadSpec, isGated, readsLogits } from "./HeadSpec.ts"

export interface HeadData {
  readonly count: number
  /** [count, widthᵢ] per expert */
  readonly features: ReadonlyArray<Float32Array>
  /** [count, classes] per expert */
  readonly logits: ReadonlyArray<Float32Array>
  /** [count, query] */
  readonly queries: Float32Array
  readonly labels: Int32Array
}

/** The rows of one set. */
export const of = (
  tables: ReadonlyArray<Table>,
  queries: Table,
  set: Set,
  labels: ReadonlyArray<number>,
): HeadData => ({
  count: labels.length,
  features: tables.map(({ rows }) => rows[set].features),
  logits: tables.map(({ rows }) => rows[set].logits),
  queries: queries.rows[set].features,
  labels: Int32Array.from(labels),
})

const picked = (values: Float32Array, width: number, rows: ArrayLike<number>): Float32Array => {
  const out = new Float32Array(rows.length * width)
  for (let i = 0; i < rows.length; i++) {
    const row = known(rows[i])
    out.set(values.subarray(row * width, (row + 1) * width), i * width)
  }
  return out
}

/** Inputs of a head's graph for some rows; `selected` is [rows, M], all experts where it is absent. */
export const feeds = (
  spec: HeadSpec,
  data: HeadData,
  rows: ArrayLike<number>,
  selected?: Float32Array,
): Tensors => {
  const { classes, experts, query, strategy } = spec
  const size = rows.length
  const mask = selected?.slice() ?? new Float32Array(size * experts.length).fill(1)
  const own = experts.map(({ width }, i) =>
    readsLogits(strategy)
      ? ([
          `logits.${i}`,
          Batches.float32(picked(at(data.logits, i), classes, rows), [size, classes]),
        ] as const)
      : ([
          `features.${i}`,
          Batches.float32(picked(at(data.features, i), width, rows), [size, width]),
        ] as const),
  )
  return {
    ...Object.fromEntries(own),
    ...(isGated(strategy)
      ? { query: Batches.float32(picked(data.queries, query, rows), [size, query]) }
      : {}),
    selected: Batches.float32(mask, [size, experts.length]),
  }
}

/** The `k` largest of each row of [rows, M] as 1, others 0; equal ones from the front. */
export const top = (values: Float32Array, width: number, k: number): Float32Array => {
  const out = new Float32Array(values.length)
  for (let at = 0; at < values.length; at += width) {
    const order = Array.from({ length: width }, (_, i) => i).toSorted(
      (a, b) => known(values[at + b]) - known(values[at + a]) || a - b,
    )
    for (const i of order.slice(0, k)) out[at + i] = 1
  }
  return out
}
