/** Writes the tensors that an adapter changes, changed, in f32; each sum is in f64 and is rounded once. */
import { at, atOr, known } from "@hila/core/Lookup"
import {
  type Checkpoint,
  CheckpointError,
  Dtype,
  Safetensors,
  type SafetensorsError,
  SafetensorsWriter,
} from "@hila/model"
import * as Effect from "effect/Effect"
import { elementsOf } from "../methods/Definition.ts"
import * as LowRank from "./LowRank.ts"
import * as Values from "../engine/Values.ts"
import type { Adapter } from "./Adapter.ts"
import type { Product } from "./Change.ts"

/** Writes them to a new file of tensors; fails where a factor or a result is not finite. */
export const write = (
  path: string,
  model: Checkpoint.Checkpoint,
  { changes, path: directory }: Adapter,
): Effect.Effect<void, SafetensorsError | CheckpointError> => {
  const targets = [...model.tensors.values()].filter(({ name }) => changes.has(name))
  const refuse = (tensor: string, problem: string) =>
    new CheckpointError({ path: directory, tensor, problem, blame: "input" })
  /** The values of a tensor of the adapter's. */
  const valuesOf = Effect.fnUntraced(function* (info: Values.FloatTensor) {
    const values = Dtype.toFloat32(yield* Safetensors.read(info), info.dtype)
    const odd = values.findIndex((value) => !Number.isFinite(value))
    return odd === -1
      ? values
      : yield* refuse(info.name, `element ${odd} is ${at(values, odd)}; weights must be finite`)
  })
  return SafetensorsWriter.write(path, {
    tensors: targets.map(({ name, shape }) => ({ name, dtype: "F32" as const, shape })),
    data: Effect.fnUntraced(function* ({ name, shape }, put) {
      const change = changes.get(name)
      const [product, shift, whole] = [change?.product, change?.shift, change?.whole]
      const info = model.tensors.get(name)
      const from = whole ?? (info !== undefined && Values.isFloatTensor(info) ? info : undefined)
      if (from === undefined)
        return yield* refuse(name, "holds integers in the model, which an adapter cannot change")
      const [first, rest] = [atOr(shape, 0, 1), elementsOf(shape.slice(1))]
      const added =
        product === undefined
          ? undefined
          : sided(product, yield* valuesOf(product.a), yield* valuesOf(product.b))
      const bias = shift === undefined ? undefined : yield* valuesOf(shift.by)
      const width = rest * Dtype.bytes(from.dtype)
      const rows = Math.max(1, Math.floor((1 << 20) / rest))
      const sum = new Float64Array(rest)
      for (let start = 0; start < first; start += rows) {
        const count = Math.min(rows, first - start)
        const range = { start: start * width, length: count * width }
        const values = Dtype.toFloat32(yield* Safetensors.read(from, range), from.dtype)
        for (let row = 0; row < count; row++) {
          const out = values.subarray(row * rest, (row + 1) * rest)
          sum.fill(0)
          if (added !== undefined) accumulate(sum, added, start + row)
          if (bias !== undefined && shift !== undefined)
            sum[0] = at(sum, 0) + shift.scale * at(bias, start + row)
          for (let j = 0; j < rest; j++) {
            const before = known(out[j])
            out[j] = before + known(sum[j])
            if (!Number.isFinite(known(out[j])) && (whole !== undefined || Number.isFinite(before))) {
              const problem = `element ${(start + row) * rest + j} is ${known(out[j])} with the adapter; weights must be finite`
              return yield* refuse(name, problem)
            }
          }
        }
        yield* put(Dtype.fromFloat32(values, "F32"))
      }
    }),
  })
}

/** The two factors of a sum over the rank, as the target is stored: its rows on the left, its columns on the right. */
interface Sided {
  readonly rank: number
  readonly scale: number
  readonly left: Float32Array // [rows, rank]
  readonly right: Float32Array // [rank, columns]
}

const sided = ({ a, b, scale, transposed }: Product, ofA: Float32Array, ofB: Float32Array): Sided => {
  const rank = at(a.shape, 0)
  return transposed
    ? {
        rank,
        scale,
        left: LowRank.turned(ofA, rank, at(a.shape, 1)),
        right: LowRank.turned(ofB, at(b.shape, 0), rank),
      }
    : { rank, scale, left: ofB, right: ofA }
}

/** Adds a row of the product to `sum`. */
const accumulate = (sum: Float64Array, { left, rank, right, scale }: Sided, row: number): void => {
  for (let k = 0; k < rank; k++) {
    const factor = scale * known(left[row * rank + k])
    const from = k * sum.length
    for (let j = 0; j < sum.length; j++) sum[j] = known(sum[j]) + factor * known(right[from + j])
  }
}
