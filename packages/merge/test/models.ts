/** Checkpoints of a few tensors of every float dtype, some cut into several blocks, for tests of the engine. */
import { Checkpoint, Dtype } from "@hila/model"
import { definitions } from "../src/methods/registry.ts"
import type { TensorPlan } from "../src/engine/Plan.ts"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { micro, random } from "./support.ts"

const specs = [
  { name: "embed.weight", dtype: "BF16", shape: [500, 130] },
  { name: "long.weight", dtype: "F32", shape: [2, 70_000] },
  { name: "half.weight", dtype: "F16", shape: [64, 300] },
  { name: "double.weight", dtype: "F64", shape: [40, 500] },
  { name: "norm.weight", dtype: "BF16", shape: [20_000] },
  { name: "one.weight", dtype: "F32", shape: [] },
  { name: "empty.weight", dtype: "F32", shape: [0, 4] },
  { name: "ids", dtype: "I32", shape: [30_000] },
] as const

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((product, extent) => product * extent, 1)

/** Writes `base` and two fine-tuned models into a directory. Deltas are of few bits, so that many are equal. */
export const write = (directory: string) =>
  Effect.gen(function* () {
    const { files } = yield* micro("base")
    const own: Readonly<Record<string, string>> = { "config.json": files["config.json"]! }
    const like = { files: own }
    const one = (name: string, seed: number) =>
      Checkpoint.write(join(directory, name), {
        like,
        tensors: specs,
        data: ({ dtype, name: tensor, shape }, put) => {
          const [weights, steps] = [random(tensor.length), random(seed)]
          const values = Float32Array.from({ length: sizeOf(shape) }, () => {
            const weight = Math.round((weights() - 0.5) * 64) / 64
            return weight + (seed === 0 ? 0 : Math.round((steps() + steps() - 1) * 16) / 256)
          })
          return put(
            Dtype.isFloat(dtype) ? Dtype.fromFloat32(values, dtype) : new Uint8Array(values.buffer.slice(0)),
          )
        },
      })
    return {
      base: yield* one("base", 0),
      models: [yield* one("a", 1), yield* one("b", 2)],
      files: like.files,
    }
  })

const both = (value: number) => [value, value]
const sum = { weight: [0.5, 0.8], lambda: 0.9, elect: "weighted", normalize: true, seed: 3 }

/** Parameters that make each method do all it can. */
export const params = {
  linear: { weight: [0.5, 0.8], normalize: true },
  slerp: { t: 0.3 },
  ties: { ...sum, density: [0.4, 0.7], rescale: "l1", scope: "tensor", zero_vote: "majority" },
  "ties, global": { ...sum, density: both(0.3), rescale: "none", scope: "global", zero_vote: "positive" },
  dare_ties: { ...sum, density: both(0.6), rescale: "l1" },
  della: { ...sum, density: both(0.5), epsilon: both(0.2), rescale: "l1" },
  sce: { select_topk: 0.4 },
  breadcrumbs: { ...sum, density: both(0.5), gamma: both(0.1), rescale: "none" },
} as const

/** The plan of a merge of all tensors. */
export const plan = (
  { base, models }: Effect.Success<ReturnType<typeof write>>,
  name: keyof typeof params,
): ReadonlyArray<TensorPlan> => {
  const method = definitions[name === "ties, global" ? "ties" : name].method({})
  return [...base.tensors.values()].map((info) => ({
    name: info.name,
    dtype: info.dtype,
    shape: info.shape,
    method,
    params: params[name],
    base: info,
    models: (name === "slerp" ? models.slice(0, 1) : models).map(({ tensors }) => tensors.get(info.name)!),
  }))
}
