/**
 * Tensors read in runs of rows as f32, the same rows of every input: what is needed to look at weights, not to write.
 */
import { Dtype, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Region from "../units/Region.ts"

/** Scalars of one chunk of one model: 1 MiB in f32. A chunk is at least one row. */
export const defaultChunk = 1 << 18

/** A run of rows of a tensor, of every input. */
export interface Chunk extends Region.Rows {
  readonly values: ReadonlyArray<Float32Array> // per input [rows, columns]
}

/** Runs of whole rows that cover a grid, of at most `scalars` scalars each where a row is not longer. */
export const split = (grid: Region.Grid, scalars: number): ReadonlyArray<Region.Rows> => {
  const step = Math.max(1, Math.floor(scalars / Math.max(1, grid.columns)))
  const count = Math.ceil(grid.rows / step)
  return Array.from({ length: count }, (_, index) => ({
    firstRow: index * step,
    rows: Math.min(step, grid.rows - index * step),
    columns: grid.columns,
  }))
}

/** The rows of a tensor as f32; the tensor's dtype must be a float. */
const readRows = (
  info: Safetensors.TensorInfo,
  dtype: Dtype.FloatDtype,
  { columns, firstRow, rows }: Region.Rows,
) => {
  const width = Dtype.bytes(dtype) * columns
  return Effect.map(Safetensors.read(info, { start: firstRow * width, length: rows * width }), (bytes) =>
    Dtype.toFloat32(bytes, dtype),
  )
}

/** Reads the same rows of every tensor. */
export const readChunk = (inputs: ReadonlyArray<Safetensors.TensorInfo>, rows: Region.Rows) =>
  Effect.map(
    Effect.forEach(
      inputs,
      (info) =>
        Dtype.isFloat(info.dtype) ? readRows(info, info.dtype, rows) : Effect.succeed(new Float32Array()),
      { concurrency: "unbounded" },
    ),
    (values): Chunk => ({ ...rows, values }),
  )
