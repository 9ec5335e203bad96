/**
 * How a tensor is cut: into blocks, the fixed units of arithmetic, and chunks, the runs of blocks that are read at once.
 *
 * Blocks depend on the tensor and the method alone, so a reduction over blocks in their order has one result whatever
 * the chunks and threads are.
 */
import { last } from "@hila/core/Lookup"
import type { AnyMethod } from "./Method.ts"

/** Elements of a block, where a row is not longer: 64 KiB in f32, so that the arrays of a block stay in cache. */
const BLOCK = 1 << 14
/** The longest row that is not cut where a method allows it. */
const LONGEST = 1 << 16

/** The cut of a tensor of `rows` × `columns`. */
export interface Layout {
  readonly rows: number
  readonly columns: number
  readonly blockRows: number
  /** Less than `columns` only where rows are cut. */
  readonly blockColumns: number
  readonly blocks: number
}

/** A run of blocks. */
export interface Chunk {
  readonly firstBlock: number
  readonly blocks: number
  /** Index of the first element. */
  readonly start: number
  readonly elements: number
}

/** Where a block lies. */
export interface Place {
  readonly start: number
  readonly firstRow: number
  readonly firstColumn: number
  readonly rows: number
  readonly columns: number
}

/** The number of scalars of a shape. */
export const elementsOf = (shape: ReadonlyArray<number>): number =>
  shape.reduce((product, extent) => product * extent, 1)

/** The blocks of a tensor. The last dimension is a row; a vector is one row. */
export const of = (shape: ReadonlyArray<number>, kind: AnyMethod["block"] = "elements"): Layout => {
  const columns = shape.length === 0 ? 1 : last(shape)
  const rows = columns === 0 ? 0 : elementsOf(shape) / columns
  if (kind === "tensor") {
    return { rows, columns, blockRows: Math.max(rows, 1), blockColumns: columns, blocks: Math.min(rows, 1) }
  }
  if (kind === "elements" && columns > LONGEST) {
    return { rows, columns, blockRows: 1, blockColumns: BLOCK, blocks: rows * Math.ceil(columns / BLOCK) }
  }
  const blockRows = Math.max(1, Math.floor(BLOCK / Math.max(columns, 1)))
  return { rows, columns, blockRows, blockColumns: columns, blocks: Math.ceil(rows / blockRows) }
}

/** Where block `index` lies. */
export const place = ({ blockColumns, blockRows, columns, rows }: Layout, index: number): Place => {
  if (blockColumns < columns) {
    const pieces = Math.ceil(columns / blockColumns)
    const firstRow = Math.floor(index / pieces)
    const firstColumn = (index % pieces) * blockColumns
    const width = Math.min(blockColumns, columns - firstColumn)
    return { start: firstRow * columns + firstColumn, firstRow, firstColumn, rows: 1, columns: width }
  }
  const firstRow = index * blockRows
  const height = Math.min(blockRows, rows - firstRow)
  return { start: firstRow * columns, firstRow, firstColumn: 0, rows: height, columns }
}

/** Runs of blocks of at most `most` elements each, but of at least one block. */
export const chunks = (layout: Layout, most: number): ReadonlyArray<Chunk> => {
  const step = Math.max(1, Math.floor(most / Math.max(1, layout.blockRows * layout.blockColumns)))
  const startOf = (block: number) =>
    block < layout.blocks ? place(layout, block).start : layout.rows * layout.columns
  return Array.from({ length: Math.ceil(layout.blocks / step) }, (_, index) => {
    const firstBlock = index * step
    const blocks = Math.min(step, layout.blocks - firstBlock)
    const start = startOf(firstBlock)
    return { firstBlock, blocks, start, elements: startOf(firstBlock + blocks) - start }
  })
}

/** Byte of a bit mask `[rows, ceil(columns / 8)]` at which the element `index` begins; rows are padded to bytes. */
export const maskByte = ({ columns }: Layout, index: number): number => {
  const row = Math.floor(index / columns)
  return row * Math.ceil(columns / 8) + ((index - row * columns) >> 3)
}
