/**
 * Covariances of a layer's inputs or output gradients, in full, by diagonal blocks, or diagonal: all as blocks.
 */
import { known } from "@hila/core/Lookup"

/** A block-diagonal matrix: `blocks` blocks `[size, size]` in order; one block is a full matrix, size 1 a diagonal. */
export interface Factor {
  readonly blocks: number
  readonly size: number
  readonly values: Float32Array // [blocks, size, size]
}

/** The rows (and columns) of a factor. */
export const extentOf = ({ blocks, size }: Pick<Factor, "blocks" | "size">): number => blocks * size

/** The diagonal. */
export const diagonalOf = (factor: Factor): Float32Array => {
  const { size, values } = factor
  return Float32Array.from({ length: extentOf(factor) }, (_, i) => {
    const block = Math.floor(i / size)
    const at = i - block * size
    return known(values[block * size * size + at * size + at])
  })
}

/** The mean of the diagonal. */
export const meanDiagonal = (factor: Factor): number => {
  const diagonal = diagonalOf(factor)
  return diagonal.length === 0 ? 0 : diagonal.reduce((sum, value) => sum + value, 0) / diagonal.length
}
