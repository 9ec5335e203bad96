/**
 * Rows of a table that stays in its file: the embedding of the tokens that occur, and of no others.
 */
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../Checkpoint.ts"
import * as Dtype from "../Dtype.ts"
import { failure, readFully, withFile } from "../internal/files.ts"
import { ModelError } from "../ModelError.ts"

/** Rows read at once, where they lie behind one another. */
const maxRun = 1024

/** The rows `indices` of a tensor [rows, width] as f32, [indices.length, width]; repeated ones are read once. */
export const read = Effect.fnUntraced(function* (
  model: string,
  { tensors }: Checkpoint,
  tensor: string,
  indices: ArrayLike<number>,
): Effect.fn.Return<Float32Array, ModelError> {
  const refuse = (problem: string) =>
    new ModelError({ model, problem: `"${tensor}": ${problem}`, blame: "input" })
  const info = tensors.get(tensor)
  if (info === undefined) return yield* refuse("the checkpoint has no such tensor")
  const { byteLength, dtype, file, offset } = info
  if (!Dtype.isFloat(dtype)) return yield* refuse(`expected floating-point weights, got ${dtype}`)
  const [rows = 0, width = 0] = info.shape
  const rowBytes = byteLength / rows
  const onFailure = (cause: unknown) => {
    const { blame, problem } = failure(cause)
    return new ModelError({ model, problem: `"${tensor}" in ${file}: ${problem}`, blame })
  }
  const places = Map.groupBy(Array.from(indices).keys(), (at) => indices[at] ?? 0)
  const sorted = [...places.keys()].toSorted((a, b) => a - b)
  const out = new Float32Array(indices.length * width)
  return yield* withFile(file, "r", onFailure, (handle) =>
    Effect.gen(function* () {
      for (let from = 0; from < sorted.length;) {
        const first = sorted[from] ?? 0
        let count = 1
        while (count < maxRun && sorted[from + count] === first + count) count++
        const bytes = yield* Effect.tryPromise({
          try: () => readFully(handle, offset + first * rowBytes, count * rowBytes),
          catch: onFailure,
        })
        if (bytes.length < count * rowBytes) {
          return yield* refuse(`${file} has become shorter since its header was read`)
        }
        const values = Dtype.toFloat32(bytes, dtype)
        for (let i = 0; i < count; i++) {
          const row = values.subarray(i * width, (i + 1) * width)
          for (const at of places.get(first + i) ?? []) out.set(row, at * width)
        }
        from += count
      }
      return out
    }),
  )
})
