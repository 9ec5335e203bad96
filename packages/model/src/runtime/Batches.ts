/**
 * Grouping sequences of different lengths into batches, and laying them out as graph inputs.
 *
 * Sequences of similar length go together, so that little is padded; a batch is bounded in sequences and in bytes. The
 * grouping depends on the sequences alone, never on the number of workers, so results do not depend on the machine's
 * size.
 */
import { at } from "@hila/core/Lookup"
import type { ModelShape, Stack } from "../architectures/ModelShape.ts"
import type { Tensor, Tensors } from "./Protocol.ts"

/** Sequences of one batch at most: beyond it, larger products gain little and padding grows. */
const maxSequences = 32
/** Bytes of activations of one batch at most, unless one sequence alone needs more. */
const maxBytes = 256 * 2 ** 20

/** The position of padded keys: later than every query, so that no query sees them. */
export const unseen = 2 ** 30

/** An estimate of the bytes a run needs: `length` positions computed, `total` attended to, `rows` read. */
const activationBytes = (shape: Stack, sequences: number, length: number, total: number, rows: number) =>
  4 *
  (sequences *
    length *
    (8 * shape.hiddenSize + 3 * shape.intermediateSize + 4 * shape.heads * shape.headDim) +
    2 * sequences * shape.heads * length * total +
    2 * sequences * shape.layers.length * shape.kvHeads * shape.headDim * total +
    3 * rows * shape.vocabSize)

/** What a batch has to hold for one sequence: positions computed, positions attended to, rows read. */
export interface Extent {
  readonly length: number
  readonly total: number
  readonly rows: number
}

/** Indices of the sequences in batches of at most `limit` bytes, longest first. */
export const plan = (
  shape: Stack,
  extents: ReadonlyArray<Extent>,
  limit: number = maxBytes,
): ReadonlyArray<ReadonlyArray<number>> => {
  const order = extents.map((extent, index) => ({ extent, index }))
  order.sort(
    (a, b) => b.extent.total - a.extent.total || b.extent.length - a.extent.length || a.index - b.index,
  )
  const batches: Array<Array<number>> = []
  let current: Array<number> = []
  let [length, total, rows] = [0, 0, 0]
  for (const { extent, index } of order) {
    const next = [Math.max(length, extent.length), Math.max(total, extent.total), rows + extent.rows] as const
    const full = current.length >= maxSequences || activationBytes(shape, current.length + 1, ...next) > limit
    if (current.length === 0 || full) {
      current = []
      batches.push(current)
      ;[length, total, rows] = [extent.length, extent.total, extent.rows]
    } else {
      ;[length, total, rows] = next
    }
    current.push(index)
  }
  return batches
}

export const int32 = (data: Int32Array, dims: ReadonlyArray<number>): Tensor => ({
  type: "int32",
  dims,
  data,
})
export const float32 = (data: Float32Array, dims: ReadonlyArray<number>): Tensor => ({
  type: "float32",
  dims,
  data,
})

/** A position to read: its sequence in the batch, its index in it, and the token whose log-likelihood is asked for. */
export interface Row {
  readonly sequence: number
  readonly position: number
  readonly target: number
}

/**
 * Inputs of a run without a past: sequences padded to the longest, at the front (`left`) or the back (`right`).
 * `row.position` counts a sequence's own tokens.
 */
export const feeds = (
  sequences: ReadonlyArray<ReadonlyArray<number>>,
  rows: ReadonlyArray<Row>,
  side: "left" | "right",
) => {
  const batch = sequences.length
  const width = Math.max(...sequences.map((s) => s.length))
  const tokens = new Int32Array(batch * width) // [batch, width]
  const positions = new Int32Array(batch * width)
  const keyPositions = new Int32Array(batch * width).fill(unseen)
  const start = (sequence: number) =>
    sequence * width + (side === "left" ? width - at(sequences, sequence).length : 0)
  sequences.forEach((sequence, i) => {
    tokens.set(sequence, start(i))
    const own = Int32Array.from(sequence.keys())
    positions.set(own, start(i))
    keyPositions.set(own, start(i))
  })
  return {
    tokens: int32(tokens, [batch, width]),
    positions: int32(positions, [batch, width]),
    keyPositions: int32(keyPositions, [batch, width]),
    rows: int32(
      Int32Array.from(rows, (row) => start(row.sequence) + row.position),
      [rows.length],
    ),
    targets: int32(
      Int32Array.from(rows, (row) => row.target),
      [rows.length],
    ),
  }
}

/** An empty key-value cache for every layer, [batch, kvHeads, 0, headDim]. */
export const emptyPast = (shape: ModelShape, batch: number): Tensors => {
  const past: Record<string, Tensor> = {}
  for (let l = 0; l < shape.layers.length; l++) {
    for (const part of ["key", "value"]) {
      past[`past.${l}.${part}`] = float32(new Float32Array(0), [batch, shape.kvHeads, 0, shape.headDim])
    }
  }
  return past
}
