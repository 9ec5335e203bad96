/** A tensor's values in pieces, for what looks at every one. */
import { at } from "@hila/core/Lookup"
import { Dtype, Safetensors, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { elementsOf } from "./Layout.ts"

const PIECE = 1 << 20

/** A tensor of floats. */
export interface FloatTensor extends Safetensors.TensorInfo {
  readonly dtype: Dtype.FloatDtype
}

/** Whether a tensor holds floats. */
export const isFloatTensor = (info: Safetensors.TensorInfo): info is FloatTensor => Dtype.isFloat(info.dtype)

/** Hands the same pieces of tensors of one size to `look`, in order; `start` is the first element's index. */
export const forEachPiece = (
  tensors: ReadonlyArray<FloatTensor>,
  look: (pieces: ReadonlyArray<Float32Array>, start: number) => void,
): Effect.Effect<void, SafetensorsError> =>
  Effect.gen(function* () {
    const elements = elementsOf(at(tensors, 0).shape)
    for (let start = 0; start < elements; start += PIECE) {
      const count = Math.min(PIECE, elements - start)
      const pieces = yield* Effect.forEach(tensors, (info) => {
        const width = Dtype.bytes(info.dtype)
        return Effect.map(Safetensors.read(info, { start: start * width, length: count * width }), (bytes) =>
          Dtype.toFloat32(bytes, info.dtype),
        )
      })
      look(pieces, start)
    }
  })
