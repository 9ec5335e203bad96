/**
 * Regions: where the slice of a unit lies inside a chunk of rows of a tensor.
 *
 * A tensor is seen as a grid of rows × columns: the last dimension of a matrix is its columns, a vector is a column of
 * rows, leading dimensions are folded into rows. Chunks are runs of whole rows, so a slice of rows meets some chunks
 * and a slice of columns (the heads of an output projection) crosses all of them.
 */
import { last } from "@hila/core/Lookup"

/** A tensor as rows × columns. */
export interface Grid {
  readonly rows: number
  readonly columns: number
}

/** The grid of a shape; rows × columns is the number of scalars. */
export const gridOf = (shape: ReadonlyArray<number>): Grid => {
  const size = shape.reduce((product, extent) => product * extent, 1)
  const columns = shape.length < 2 ? 1 : last(shape)
  return { rows: columns === 0 ? 0 : size / columns, columns }
}

/** A rectangle of a chunk: rows `[top, bottom)` counted from the chunk's first row, columns `[left, right)`. */
export interface Region {
  readonly top: number
  readonly bottom: number
  readonly left: number
  readonly right: number
}

/** A run of whole rows of a grid. */
export interface Rows {
  readonly firstRow: number
  readonly rows: number
  readonly columns: number
}

/** A run of rows (axis 0) or of columns (axis 1) of a tensor, `[start, end)`. */
export interface Span {
  readonly axis: 0 | 1
  readonly start: number
  readonly end: number
}

/** The part of a slice that lies in a chunk; empty (`top >= bottom`) where they do not meet. */
export const within = (chunk: Rows, span: Span): Region =>
  span.axis === 0
    ? {
        top: Math.max(span.start - chunk.firstRow, 0),
        bottom: Math.min(span.end - chunk.firstRow, chunk.rows),
        left: 0,
        right: chunk.columns,
      }
    : { top: 0, bottom: chunk.rows, left: span.start, right: Math.min(span.end, chunk.columns) }

/** Bytes of one row of a bit mask: one bit per column, rows padded to whole bytes. */
export const maskStride = (columns: number): number => Math.ceil(columns / 8)
