/** Embeddings and heads with their rows in the result's order, as a file of tensors. */
import { at as atIndex, entry } from "@hila/core/Lookup"
import {
  type Checkpoint,
  type CheckpointError,
  Dtype,
  Safetensors,
  SafetensorsWriter,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Values from "../engine/Values.ts"
import * as Rows from "./Rows.ts"
import * as Vocabulary from "./Vocabulary.ts"

/** Rows copied at once. */
const RUN = 1 << 10

/** A tensor of floats with a row per token. */
export interface FloatRows extends Vocabulary.Rows {
  readonly info: Values.FloatTensor
}

/** One model's share of the work. */
interface Share {
  readonly rows: ReadonlyArray<Rows.Row>
  readonly model: number
  /** Every model, for rows that are taken from others. */
  readonly all: ReadonlyArray<Checkpoint.Checkpoint>
}

/** Writes tensors of one model with the rows that a vocabulary wants. */
export const write = (
  path: string,
  tensors: ReadonlyArray<FloatRows>,
  share: Share,
): Effect.Effect<void, SafetensorsError | CheckpointError> => {
  const { rows } = share
  const made = new Map(
    tensors.map((own) => [own.info.name, { own, dtype: dtypeOf(own.info, share) }] as const),
  )
  return SafetensorsWriter.write(path, {
    tensors: [...made].map(([name, { dtype, own }]) => ({
      name,
      dtype,
      shape: Vocabulary.shapeWith(own, rows.length),
    })),
    data: Effect.fnUntraced(function* ({ name }, put) {
      const { dtype, own } = entry(made, name)
      const mean = rows.some(({ _tag }) => _tag === "Mean") ? yield* meanOf(own, share) : undefined
      for (let id = 0; id < rows.length;) {
        const run = ownRun(share, id)
        if (run.length > 0) {
          const bytes = yield* bytesOf(own, run.first, run.length)
          const same = dtype === own.info.dtype
          yield* put(same ? bytes : Dtype.fromFloat32(Dtype.toFloat32(bytes, own.info.dtype), dtype))
          id += run.length
          continue
        }
        const values = mean ?? new Float32Array(own.width)
        const row = atIndex(rows, id)
        yield* put(Dtype.fromFloat32(row._tag === "Mean" ? values : yield* rowOf(row, own, share), dtype))
        id += 1
      }
    }),
  })
}

/** The dtype that holds a model's own rows and those it takes from others. */
const dtypeOf = ({ dtype, name }: Values.FloatTensor, { all, model, rows }: Share): Dtype.FloatDtype => {
  const lenders = new Set<number>()
  for (const row of rows) if (row._tag === "Rows") for (const from of row.from) lenders.add(from.model)
  lenders.delete(model)
  const lent = [...lenders].map((lender) => sourceOf(atIndex(all, lender), name)?.dtype)
  return lent.every((other) => other === undefined || other === dtype) || dtype === "F64" ? dtype : "F32"
}

/** The tensor that a model has its rows in: a tied head's are the embedding's; of a bias there may be none. */
const sourceOf = (
  { config, tensors }: Checkpoint.Checkpoint,
  name: string,
): Values.FloatTensor | undefined => {
  const own = tensors.get(name)
  const info = own ?? (name.endsWith(".weight") ? Vocabulary.mainOf({ config, tensors }) : undefined)
  return info !== undefined && Values.isFloatTensor(info) ? info : undefined
}

const bytesOf = ({ info, width }: FloatRows, first: number, count: number) => {
  const size = width * Dtype.bytes(info.dtype)
  return Safetensors.read(info, { start: first * size, length: count * size })
}

/** How many rows from `id` on are rows of the model itself, one after another. */
const ownRun = ({ model, rows }: Share, id: number) => {
  const first = Rows.ownIdOf(rows[id], model)
  if (first === undefined) return { first: 0, length: 0 }
  let length = 1
  while (length < RUN && Rows.ownIdOf(rows[id + length], model) === first + length) length += 1
  return { first, length }
}

/** A row that is made: zeros, another model's, or the mean of several models'. */
const rowOf = Effect.fnUntraced(function* (
  row: Exclude<Rows.Row, { readonly _tag: "Mean" }>,
  { info: { name }, width }: FloatRows,
  { all }: Share,
) {
  const sum = new Float32Array(width)
  if (row._tag === "Zero") return sum
  for (const { id, model } of row.from) {
    const info = sourceOf(atIndex(all, model), name)
    // A head without a bias is one whose bias is zero.
    if (info === undefined) continue
    const values = Dtype.toFloat32(yield* bytesOf({ info, width, rows: 0 }, id, 1), info.dtype)
    for (let i = 0; i < width; i++) sum[i] = atIndex(sum, i) + atIndex(values, i) / row.from.length
  }
  return sum
})

/** The mean, in f64, of the rows that tokens have: never of rows past a model's vocabulary, which hold anything. */
const meanOf = Effect.fnUntraced(function* (own: FloatRows, share: Share) {
  const { model, rows } = share
  const { info, width } = own
  const uses = new Float64Array(own.rows)
  const sum = new Float64Array(width)
  let count = 0
  for (const row of rows) {
    if (row._tag === "Mean") continue
    count += 1
    const id = Rows.ownIdOf(row, model)
    if (id !== undefined) uses[id] = atIndex(uses, id) + 1
    else {
      const values = yield* rowOf(row, own, share)
      for (const [i, value] of values.entries()) sum[i] = atIndex(sum, i) + value
    }
  }
  yield* Values.forEachPiece([info], ([values], start) => {
    const piece = values ?? new Float32Array(0)
    for (let i = 0; i < piece.length; i++) {
      const at = start + i
      const times = uses[Math.floor(at / width)] as number
      // Times zero is not zero for NaN and infinite values, which unused rows may hold.
      if (times > 0) sum[at % width] = (sum[at % width] as number) + times * (piece[i] as number)
    }
  })
  return Float32Array.from(sum, (value) => (count === 0 ? 0 : value / count))
})
