/**
 * The streaming loop of every method: tensors flow from disk through f32 arithmetic to disk, in chunks of rows.
 *
 * Memory is set by the chunk and the number of models, not by the size of a model. What is computed is the caller's:
 * this reads the same rows of every input, hands them over, rounds the result once and writes it.
 */
import { Checkpoint, Dtype, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Elementwise from "./Elementwise.ts"
import { MergeError } from "./MergeError.ts"
import type { PlannedTensor } from "./Preflight.ts"
import * as Region from "./Region.ts"

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

/**
 * Merges every planned tensor and writes a checkpoint like `like` into a new directory.
 *
 * `combine` gives the result of a chunk, `[rows, columns]`, and may overwrite the chunk's arrays. Fails with a
 * `MergeError` where a result is not a finite number of the output's dtype; nothing is left behind then.
 */
export const write = <E, R>(
  directory: string,
  options: {
    readonly method: string
    readonly like: Checkpoint.Checkpoint
    readonly plan: ReadonlyArray<PlannedTensor>
    readonly chunk?: number | undefined
    readonly combine: (tensor: PlannedTensor, chunk: Chunk) => Effect.Effect<Float32Array, E, R>
  },
) => {
  const { chunk = defaultChunk, combine, method } = options
  const planned = new Map(options.plan.map((tensor) => [tensor.info.name, tensor]))
  return Checkpoint.write(directory, {
    like: options.like,
    tensors: options.plan.map(({ info: { dtype, name, shape } }) => ({ name, dtype, shape })),
    data: Effect.fnUntraced(function* ({ name }, writeBytes) {
      const tensor = planned.get(name)!
      const { dtype, info } = tensor
      if (dtype === undefined) return yield* copy(info, chunk, writeBytes)
      for (const rows of split(Region.gridOf(info.shape), chunk)) {
        const result = yield* combine(tensor, yield* readChunk(tensor.inputs, rows))
        yield* checkFinite(method, name, result, dtype)
        yield* writeBytes(Dtype.fromFloat32(result, dtype))
      }
    }),
  })
}

/** Copies a tensor's bytes in pieces. */
const copy = Effect.fnUntraced(function* <E, R>(
  info: Safetensors.TensorInfo,
  chunk: number,
  writeBytes: (bytes: Uint8Array) => Effect.Effect<void, E, R>,
) {
  for (let start = 0; start < info.byteLength; start += chunk) {
    yield* writeBytes(
      yield* Safetensors.read(info, { start, length: Math.min(chunk, info.byteLength - start) }),
    )
  }
})

/** The least magnitude that rounds to infinity. */
const overflow: Readonly<Record<Dtype.FloatDtype, number>> = {
  F64: Infinity,
  F32: Infinity,
  BF16: (2 - 2 ** -8) * 2 ** 127,
  F16: 65520,
}

const checkFinite = (method: string, tensor: string, values: Float32Array, dtype: Dtype.FloatDtype) => {
  const at = Elementwise.firstOutside(values, overflow[dtype])
  if (at === -1) return Effect.void
  const problem = `the result ${values[at]} is no finite ${dtype} number: an input has NaN or infinite weights, or a coefficient is too large`
  return Effect.fail(new MergeError({ method, input: "weights of the models", tensor, problem }))
}
