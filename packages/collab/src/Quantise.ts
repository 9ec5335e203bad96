/**
 * Dynamic 8-bit quantisation of an encoder's weights: linear layers by output, embeddings by row.
 *
 * Symmetric: w ≈ scale · q with q in −127…127 and scale = max |w| / 127 of an output's weights. Activations are quantised
 * as they come, when the model runs (Zafrir et al., 2019, "Q8BERT", without its training).
 *
 * Activations and weights use the whole of their 8 bits, so two products exceed 16: the runtime has to add them in 32 on
 * every processor, which `SessionOptions` of @hila/model sees to.
 */
import { atOr, known } from "@hila/core/Lookup"
import {
  Checkpoint,
  CheckpointError,
  type Projection,
  Safetensors,
  type SafetensorsWriter,
} from "@hila/model"
import * as Effect from "effect/Effect"

/** Integers in the order a product wants them, and one scale per output (or row). */
export interface Integers {
  /** [in, out] of a linear layer, [rows, width] of a table */
  readonly values: Int8Array
  readonly scales: Float32Array
}

/** The integers of a matrix [rows, width] with one scale per row; `transpose` lays them out [width, rows]. */
export const matrix = (
  data: Float32Array,
  [rows, width]: readonly [number, number],
  transpose: boolean,
): Integers => {
  const values = new Int8Array(rows * width)
  const scales = new Float32Array(rows)
  for (let r = 0; r < rows; r++) {
    let largest = 0
    for (let c = 0; c < width; c++) largest = Math.max(largest, Math.abs(known(data[r * width + c])))
    const scale = Math.fround(largest / 127)
    scales[r] = scale
    for (let c = 0; c < width; c++) {
      const q =
        scale === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(known(data[r * width + c]) / scale)))
      values[transpose ? c * rows + r : r * width + c] = q
    }
  }
  return { values, scales }
}

/** Writes a checkpoint whose linear weights and word embeddings are 8-bit integers, to a directory that is new. */
export const write = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, directory: string) {
  const shape = yield* Checkpoint.validateEncoder(checkpoint)
  const { embedding } = shape.tensors
  const projections: ReadonlyArray<Projection> = shape.layers.flatMap(
    ({ down, gate, key, output, query, up, value }) => [
      query,
      key,
      value,
      output,
      up,
      down,
      ...(gate === undefined ? [] : [gate]),
    ],
  )
  if (projections.some(({ layout, transposed }) => layout !== undefined || transposed === true)) {
    return yield* new CheckpointError({
      path: directory,
      problem: "fused or transposed linear weights cannot be quantised; use a model of the BERT family",
      blame: "input",
    })
  }
  const linear = new Set([
    ...projections.map(({ weight }) => weight),
    shape.classifier.dense.weight,
    shape.classifier.output.weight,
  ])
  const quantised = new Map<string, Integers>()
  for (const name of [...linear, embedding]) {
    const info = checkpoint.tensors.get(name)
    if (info === undefined) continue
    const data = yield* Checkpoint.readFloat32(checkpoint, name)
    quantised.set(name, matrix(data, [atOr(info.shape, 0, 1), atOr(info.shape, 1, 1)], linear.has(name)))
  }
  const tensors: ReadonlyArray<SafetensorsWriter.TensorSpec> = [...checkpoint.tensors].flatMap(
    ([name, { dtype, shape: sizes }]): ReadonlyArray<SafetensorsWriter.TensorSpec> => {
      const own = quantised.get(name)
      if (own === undefined) return [{ name, dtype, shape: sizes }]
      return [
        { name, dtype: "I8", shape: linear.has(name) ? sizes.toReversed() : sizes },
        { name: `${name}.scale`, dtype: "F32", shape: [own.scales.length] },
      ]
    },
  )
  return yield* Checkpoint.write(directory, {
    like: checkpoint,
    tensors,
    data: Effect.fnUntraced(function* ({ name }, put) {
      const own = quantised.get(name)
      const scaled = quantised.get(name.replace(/\.scale$/, ""))
      if (own !== undefined) return yield* put(new Uint8Array(own.values.buffer))
      if (scaled !== undefined) return yield* put(new Uint8Array(scaled.scales.buffer))
      const info = checkpoint.tensors.get(name)
      if (info !== undefined) yield* put(yield* Safetensors.read(info))
    }),
  })
})
