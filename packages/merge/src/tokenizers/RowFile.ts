/** Embeddings and heads with their rows in the result's order, as a file of tensors. */
import {
  type Checkpoint,
  type CheckpointError,
  Dtype,
  Safetensors,
  SafetensorsWriter,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Values from "../tools/Values.ts"
import type { Row } from "./Rows.ts"

/** Whether a tensor has one row per token. */
export const isVocabulary = ({ name, shape }: Safetensors.TensorInfo): boolean =>
  shape.length === 2 &&
  (/^lm_head\.weight$|^embed_out\.weight$/.test(name) ||
    (/embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|shared\.weight/.test(name) &&
      !/position|wpe|type/.test(name)))

/** Rows copied at once. */
const RUN = 1 << 10

/** Writes the tensors of one model with the rows a vocabulary wants; rows of other models come from `all`. */
export const write = (
  path: string,
  tensors: ReadonlyArray<Values.FloatTensor>,
  rows: ReadonlyArray<Row>,
  model: number,
  all: ReadonlyArray<Checkpoint.Checkpoint>,
): Effect.Effect<void, SafetensorsError | CheckpointError> =>
  SafetensorsWriter.write(path, {
    tensors: tensors.map(({ dtype, name, shape }) => ({ name, dtype, shape: [rows.length, shape[1]!] })),
    data: Effect.fnUntraced(function* ({ name }, put) {
      const own = tensors.find((tensor) => tensor.name === name)!
      const width = own.shape[1]!
      const size = width * Dtype.bytes(own.dtype)
      const mean = rows.some(({ _tag }) => _tag === "Mean") ? yield* meanOf(own) : new Float32Array(width)
      for (let at = 0; at < rows.length;) {
        const run = ownRun(rows, at, model)
        if (run.length > 0) {
          yield* put(yield* Safetensors.read(own, { start: run.first * size, length: run.length * size }))
          at += run.length
          continue
        }
        yield* put(Dtype.fromFloat32(yield* rowOf(rows[at]!, name, width, mean, all), own.dtype))
        at += 1
      }
    }),
  })

/** How many rows from `at` on are rows of the model itself, one after another. */
const ownRun = (rows: ReadonlyArray<Row>, at: number, model: number) => {
  const idOf = (row: Row | undefined) =>
    row?._tag === "Rows" && row.from.length === 1 && row.from[0]!.model === model
      ? row.from[0]!.id
      : undefined
  const first = idOf(rows[at])
  if (first === undefined) return { first: 0, length: 0 }
  let length = 1
  while (length < RUN && idOf(rows[at + length]) === first + length) length += 1
  return { first, length }
}

const rowOf = Effect.fnUntraced(function* (
  row: Row,
  name: string,
  width: number,
  mean: Float32Array,
  all: ReadonlyArray<Checkpoint.Checkpoint>,
) {
  if (row._tag === "Mean") return mean
  const sum = new Float32Array(width)
  if (row._tag === "Zero") return sum
  for (const { id, model } of row.from) {
    const info = all[model]!.tensors.get(name)
    if (info === undefined || !Values.isFloatTensor(info)) continue
    const size = width * Dtype.bytes(info.dtype)
    const values = Dtype.toFloat32(
      yield* Safetensors.read(info, { start: id * size, length: size }),
      info.dtype,
    )
    for (let i = 0; i < width; i++) sum[i] = sum[i]! + values[i]! / row.from.length
  }
  return sum
})

/** The mean row, in f64. */
const meanOf = Effect.fnUntraced(function* (info: Values.FloatTensor) {
  const [rows = 1, width = 1] = info.shape
  const sum = new Float64Array(width)
  yield* Values.forEachPiece([info], ([values], start) => {
    for (let i = 0; i < values!.length; i++)
      sum[(start + i) % width] = sum[(start + i) % width]! + values![i]!
  })
  return Float32Array.from(sum, (value) => value / rows)
})
