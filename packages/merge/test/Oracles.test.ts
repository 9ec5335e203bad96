/** Merges compared with those of the reference implementation, made in float32 and stored in float32 or bfloat16. */
import { assert, describe, it } from "@effect/vitest"
import { linear, taskArithmetic } from "@hila/merge"
import { Checkpoint, Dtype, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { hasShared, scratch, sharedPath } from "./support.ts"

const merging = "oracles/merging"
const cases = [
  "linear",
  "linear-unnormalized",
  "linear-bfloat16",
  "task_arithmetic",
  "task_arithmetic-bfloat16",
]

/** The few lines of a recipe these cases have: its method, its models' folders and weights, λ and normalize. */
const recipeOf = (name: string) => {
  const text = readFileSync(sharedPath(`${merging}/${name}/recipe.yml`), "utf8")
  const all = (pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1]!)
  return {
    method: all(/^merge_method: (\w+)$/gm)[0],
    models: all(/^- model: \.\.\/inputs\/(\w+)$/gm),
    weights: all(/^ {4}weight: ([\d.]+)$/gm).map(Number),
    lambda: Number(all(/^ {2}lambda: ([\d.]+)$/gm)[0] ?? 1),
    normalize: !text.includes("normalize: false"),
    rounded: text.includes("out_dtype: bfloat16"),
  }
}

/** Bfloat16 values on a line where neighbours differ by 1. */
const steps = (bytes: Uint8Array): Int32Array =>
  Int32Array.from(new Uint16Array(bytes.slice().buffer), (bits) => (bits < 0x8000 ? bits : 0x8000 - bits))

/** The largest absolute difference of two arrays of one length. */
const furthest = (x: ArrayLike<number>, y: ArrayLike<number>): number => {
  assert.strictEqual(x.length, y.length)
  let most = 0
  for (let i = 0; i < x.length; i++)
    most = Math.max(most, Math.abs((x[i] ?? Number.NaN) - (y[i] ?? Number.NaN)))
  return most
}

describe.skipIf(!hasShared)("merges of the reference implementation (needs ../shared)", () => {
  for (const name of cases) {
    it.effect(`${name} has the reference's weights`, () =>
      Effect.gen(function* () {
        const recipe = recipeOf(name)
        assert.deepStrictEqual(recipe.models, ["a", "b", "c"])
        assert.deepStrictEqual(recipe.weights, [0.5, 0.3, 0.4])
        const open = (model: string) => Checkpoint.open(sharedPath(`${merging}/inputs/${model}`))
        const models = yield* Effect.forEach(recipe.models, open)
        const { lambda, normalize, weights } = recipe
        const path = join(yield* scratch, "merged")
        const merged =
          recipe.method === "linear"
            ? yield* linear({ models }, { weights, normalize }, path)
            : yield* taskArithmetic({ base: yield* open("base"), experts: models }, { weights, lambda }, path)
        const expected = (yield* Safetensors.open(sharedPath(`${merging}/${name}/expected.safetensors`)))
          .tensors
        assert.sameMembers([...merged.tensors.keys()], [...expected.keys()])
        for (const info of expected.values()) {
          const got = yield* Checkpoint.readFloat32(merged, info.name)
          const bytes = yield* Safetensors.read(info)
          if (recipe.rounded) {
            // The result is f32 and exact in the file, so rounding it here is the one rounding of the reference.
            assert.strictEqual(info.dtype, "BF16")
            assert.isAtMost(furthest(steps(Dtype.fromFloat32(got, "BF16")), steps(bytes)), 1, info.name)
          } else {
            assert.strictEqual(info.dtype, "F32")
            const wanted = Dtype.toFloat32(bytes, "F32")
            const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
            assert.isAtMost(furthest(got, wanted), 1e-6 * largest, info.name)
          }
        }
      }),
    )
  }
})
