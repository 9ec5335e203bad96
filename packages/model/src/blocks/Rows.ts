/**
 * Rows of a table that stays in its file: the embedding of the tokens that occur, and of no others.
 */
import { atOr, entry, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import * as Dtype from "../checkpoint/Dtype.ts"
import { failure, readFully, withFile } from "../internal/files.ts"
import { ModelError } from "../ModelError.ts"

/** Bytes between two wanted rows up to which reading on is cheaper than another read. */
const gap = 2 ** 16
/** Bytes read at once, unless a row has more. */
const maxRun = 2 ** 22

/** The rows `indices` of a tensor [rows, width] as f32, [indices.length, width]; repeated ones are read once. */
export const read = Effect.fnUntraced(function* (
  model: string,
  checkpoint: Checkpoint,
  tensor: string,
  indices: ArrayLike<number>,
): Effect.fn.Return<Float32Array, ModelError> {
  const refuse = (problem: string) =>
    new ModelError({ model, problem: `"${tensor}": ${problem}`, blame: "input" })
  const info = checkpoint.tensors.get(tensor)
  if (info === undefined) return yield* refuse("the checkpoint has no such tensor")
  const { byteLength, dtype, file, offset } = info
  if (!Dtype.isFloat(dtype)) return yield* refuse(`expected floating-point weights, got ${dtype}`)
  const [rows = 0, width = 0] = info.shape
  const rowBytes = byteLength / rows
  const onFailure = (cause: unknown) => {
    const { blame, problem } = failure(cause)
    return new ModelError({ model, problem: `"${tensor}" in ${file}: ${problem}`, blame })
  }
  const places = Map.groupBy(Array.from(indices).keys(), (at) => known(indices[at]))
  const sorted = [...places.keys()].toSorted((a, b) => a - b)
  const out = new Float32Array(indices.length * width)
  return yield* withFile(file, "r", onFailure, (handle) =>
    Effect.gen(function* () {
      for (let from = 0; from < sorted.length;) {
        const first = known(sorted[from])
        let to = from
        const last = (at: number) => atOr(sorted, at, Infinity) + 1
        while (
          (last(to + 1) - last(to)) * rowBytes <= gap + rowBytes &&
          (last(to + 1) - first) * rowBytes <= maxRun
        ) {
          to++
        }
        const length = (last(to) - first) * rowBytes
        const bytes = yield* Effect.tryPromise({
          try: () => readFully(handle, offset + first * rowBytes, length),
          catch: onFailure,
        })
        if (bytes.length < length) {
          return yield* refuse(`${file} has become shorter since its header was read`)
        }
        for (; from <= to; from++) {
          const row = known(sorted[from])
          const [start, end] = [(row - first) * rowBytes, (row - first + 1) * rowBytes]
          for (const at of entry(places, row)) {
            Dtype.decode(bytes.subarray(start, end), dtype, out.subarray(at * width, (at + 1) * width))
          }
        }
      }
      return out
    }),
  )
})
