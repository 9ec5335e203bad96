/** Statistics files made up for tests, and merges that use them. */
import { assert } from "@effect/vitest"
import { merge, type MergeInputs, type MergeParams } from "@hila/merge/Recipe"
import { Checkpoint, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { micro, random, scratch } from "./support.ts"

export type Tensors = ReadonlyMap<string, readonly [ReadonlyArray<number>, Float32Array]>

/** Writes a statistics file. */
export const written = (path: string, kind: WeightStatistics.Kind, tensors: Tensors) =>
  WeightStatistics.write(path, {
    kind,
    examples: 4,
    tokens: 40,
    options: {},
    tensors: new Map([...tensors].map(([name, [shape]]) => [name, shape])),
    values: (name) => Effect.succeed(tensors.get(name)![1]),
  })

/** One number per weight, of every tensor. */
export const perElement = (model: Checkpoint.Checkpoint, seed: number): Tensors => {
  const next = random(seed)
  return new Map(
    [...model.tensors.values()].map(({ name, shape }) => {
      const length = shape.reduce((product, extent) => product * extent, 1)
      return [name, [shape, Float32Array.from({ length }, () => next() ** 4 * 1e-5)]]
    }),
  )
}

export type Form = (size: number, next: () => number) => readonly [ReadonlyArray<number>, Float32Array]

/** A covariance of few samples around a diagonal. */
export const full: Form = (size, next) => {
  const x = Array.from({ length: 3 }, () => Float32Array.from({ length: size }, () => next() - 0.5))
  const at = (i: number, j: number) =>
    x.reduce((sum, of) => sum + of[i]! * of[j]!, i === j ? 0.02 + next() * 0.01 : 0)
  const values = new Float32Array(size * size)
  for (let i = 0; i < size; i++)
    for (let j = 0; j <= i; j++) values[i * size + j] = values[j * size + i] = at(i, j)
  return [[size, size], values]
}
export const ones: Form = (size) => [[size], new Float32Array(size).fill(1)]
export const diagonal: Form = (size, next) => [
  [size],
  Float32Array.from({ length: size }, () => next() + 0.1),
]
export const blocked =
  (blocks: number): Form =>
  (size, next) => {
    const parts = Array.from({ length: blocks }, () => full(size / blocks, next)[1])
    return [[blocks, size / blocks, size / blocks], Float32Array.from(parts.flatMap((part) => [...part]))]
  }

export const isLinear = (name: string) => name.endsWith("_proj.weight")

/** Covariances of every linear layer. */
export const covariances = (
  model: Checkpoint.Checkpoint,
  seed: number,
  input: Form,
  gradient?: Form,
): Tensors => {
  const next = random(seed)
  return new Map(
    [...model.tensors.values()].flatMap(({ name, shape: [out = 1, inside = 1] }) =>
      isLinear(name)
        ? [
            [`${name}.input`, input(inside, next)] as const,
            ...(gradient === undefined ? [] : [[`${name}.outputGradient`, gradient(out, next)] as const]),
          ]
        : [],
    ),
  )
}

export const run = Effect.fnUntraced(function* (
  inputs: MergeInputs,
  params: MergeParams,
  options: Parameters<typeof merge>[3] = {},
) {
  const path = join(yield* scratch, "merged")
  const result = yield* merge(inputs, { dtype: "float32", ...params }, path, { digests: false, ...options })
  const card = yield* Effect.promise(() => readFile(join(path, "README.md"), "utf8"))
  return { result, card }
})

export const floats = (model: Checkpoint.Checkpoint, name: string) => Checkpoint.readFloat32(model, name)

export const models = Effect.all([micro("math"), micro("code")])
export const some = [
  "model.layers.0.self_attn.k_proj.weight",
  "model.layers.1.mlp.down_proj.weight",
  "model.norm.weight",
]

/** Fails where a merge is further from what is expected than `most`. */
export const check = Effect.fnUntraced(function* (
  result: Checkpoint.Checkpoint,
  expected: (name: string) => Effect.Effect<ArrayLike<number>, unknown>,
  most: number,
  names: ReadonlyArray<string> = some,
) {
  for (const name of names) {
    const [got, wanted] = [yield* floats(result, name), yield* Effect.orDie(expected(name))]
    const worst = got.reduce((far, value, i) => Math.max(far, Math.abs(value - wanted[i]!)), 0)
    assert.isAtMost(worst, most, name)
  }
})
