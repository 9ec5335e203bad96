/**
 * The residual stream of some rows at one place of a model: what goes into a layer, or comes out of the last.
 *
 * Plain data in the memory of the caller, batch by batch.
 */
import { at } from "@hila/core/Lookup"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import type { Tensors } from "../runtime/Protocol.ts"

/** Rows that run together, padded at the back to the longest. */
export interface Batch {
  /** Indices of the rows. */
  readonly rows: ReadonlyArray<number>
  /** Their tokens. */
  readonly tokens: ReadonlyArray<ReadonlyArray<number>>
  /** [rows, longest row, hiddenSize] */
  readonly hidden: Float32Array
}

/** Tokens per row once padded. */
export const widthOf = ({ tokens }: Pick<Batch, "tokens">): number =>
  tokens.reduce((max, { length }) => Math.max(max, length), 0)

/** The inputs of a layer's graph for a batch, without its gates. */
export const feeds = (shape: ModelShape, batch: Batch): Tensors => {
  const { keyPositions, positions } = Batches.feeds(batch.tokens, [], "right")
  return {
    keyPositions,
    positions,
    hidden: Batches.float32(batch.hidden, [batch.tokens.length, widthOf(batch), shape.hiddenSize]),
  }
}

/** Batches in groups that take at most `limit` bytes, at `states` hidden states kept per position. */
export const groups = (
  rows: ReadonlyArray<ReadonlyArray<number>>,
  batches: ReadonlyArray<ReadonlyArray<number>>,
  { limit, states }: { readonly limit: number; readonly states: number },
  { hiddenSize }: ModelShape,
): ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>> => {
  const result: Array<Array<ReadonlyArray<number>>> = []
  let used = Infinity
  for (const batch of batches) {
    const width = widthOf({ tokens: batch.map((row) => at(rows, row)) })
    const bytes = 4 * states * batch.length * width * hiddenSize
    if (used + bytes > limit) {
      result.push([])
      used = 0
    }
    result.at(-1)?.push(batch)
    used += bytes
  }
  return result
}
