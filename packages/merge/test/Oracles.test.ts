/** Recipes as they stand, compared with what the reference implementation made of them (float32, some stored in bfloat16). */
import { assert, describe, it } from "@effect/vitest"
import { mergeRecipe } from "@hila/merge/Recipe"
import { Checkpoint, Dtype, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { hasShared, scratch, sharedPath } from "./support.ts"

const merging = "oracles/merging"

/** These draw random numbers, of another generator: see `Randomness.test.ts`. */
const random = ["dare_linear", "dare_ties", "della", "della_linear"]
/** Its scores are differences of nearly equal f32 numbers in the reference: see its own test. */
const noisy = "arcee_fusion"

const cases = hasShared
  ? readdirSync(sharedPath(merging)).filter((name) => ![...random, noisy, "inputs"].includes(name))
  : []

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

const merged = (name: string) =>
  Effect.gen(function* () {
    const path = join(yield* scratch, "merged")
    const result = yield* mergeRecipe(sharedPath(`${merging}/${name}/recipe.yml`), path, { digests: false })
    const { tensors: expected } = yield* Safetensors.open(
      sharedPath(`${merging}/${name}/expected.safetensors`),
    )
    assert.sameMembers([...result.tensors.keys()], [...expected.keys()])
    return { result, expected }
  })

describe.skipIf(!hasShared)("merges of the reference implementation (needs ../shared)", () => {
  it("are all but the random ones", () => {
    assert.strictEqual(cases.length + random.length + 1, 32)
  })

  for (const name of cases) {
    it.effect(`${name} has the reference's weights`, () =>
      Effect.gen(function* () {
        const { expected, result } = yield* merged(name)
        for (const info of expected.values()) {
          const bytes = yield* Safetensors.read(info)
          const got = result.tensors.get(info.name)!
          assert.strictEqual(got.dtype, info.dtype)
          if (info.dtype === "BF16") {
            assert.isAtMost(furthest(steps(yield* Safetensors.read(got)), steps(bytes)), 1, info.name)
          } else {
            const wanted = Dtype.toFloat32(bytes, "F32")
            const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
            const values = yield* Checkpoint.readFloat32(result, info.name)
            assert.isAtMost(furthest(values, wanted), 1e-6 * largest, info.name)
          }
        }
      }),
    )
  }

  it.effect("stacked layers are in config.json", () =>
    Effect.gen(function* () {
      const { result } = yield* merged("passthrough-stack")
      assert.strictEqual(result.config["num_hidden_layers"], 4)
    }),
  )

  it.effect("arcee_fusion chooses as the reference but where 2^-20 in a divergence decides", () =>
    Effect.gen(function* () {
      // The reference's divergences are sums over f32 probabilities, whose rounding alone moves them by some 2^-24; here
      // they are between 4e-8 and 1e-5 and computed in f64. Ways to write and to order the same sums in f32 differ from
      // the reference in 0.6 % to 2.3 % of the choices.
      const { expected, result } = yield* merged(noisy)
      const open = (model: string) => Checkpoint.open(sharedPath(`${merging}/inputs/${model}`))
      const [base, other] = [yield* open("base"), yield* open("a")]
      let [differ, all] = [0, 0]
      for (const info of expected.values()) {
        const wanted = Dtype.toFloat32(yield* Safetensors.read(info), "F32")
        const got = yield* Checkpoint.readFloat32(result, info.name)
        const from = yield* Checkpoint.readFloat32(base, info.name)
        const to = yield* Checkpoint.readFloat32(other, info.name)
        const { distances, divergences, threshold } = fusionOf(from, to, info.shape.at(-1)!)
        for (const [i, value] of got.entries()) {
          const needed = threshold / distances[i]! // of the row's divergence, for the weight to be taken over
          const divergence = divergences[i]!
          const choice = divergence >= needed ? to[i]! : from[i]!
          const marginal = Math.abs(divergence / needed - 1) < 1e-6
          assert.isTrue(Math.abs(value - choice) <= 1e-6 * Math.abs(choice) || marginal, info.name)
          if (Math.abs(value - wanted[i]!) <= 1e-6) continue
          assert.isBelow(Math.abs(needed - divergence), 2 ** -20, `${info.name} ${i}`)
          differ += 1
        }
        all += got.length
      }
      assert.isBelow(differ / all, 0.02)
    }),
  )
})

/** The scores of arcee_fusion by its formula: each weight's distance and the divergence of its row, and the threshold. */
const fusionOf = (from: Float32Array, to: Float32Array, columns: number) => {
  const softmax = (row: Float32Array) => {
    const exponentials = Array.from(row, Math.exp)
    const sum = exponentials.reduce((total, each) => total + each, 0)
    return exponentials.map((each) => each / sum)
  }
  const distances = Array.from(to, (value, i) => Math.abs(Math.fround(value - from[i]!)))
  const divergences = Array.from({ length: to.length / columns }, (_, row) => {
    const [p, q] = [to, from].map((values) => softmax(values.subarray(row * columns, (row + 1) * columns)))
    return p!.reduce((sum, each, i) => sum + each * Math.log(each / q![i]!), 0)
  }).flatMap((each) => Array.from({ length: columns }, () => each))
  const scores = distances.map((distance, i) => distance * divergences[i]!).toSorted((a, b) => a - b)
  const quantile = (share: number) => {
    const at = share * (scores.length - 1)
    const [below, above] = [scores[Math.floor(at)]!, scores[Math.ceil(at)]!]
    return below + (above - below) * (at - Math.floor(at))
  }
  const threshold = quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25))
  return { distances, divergences, threshold }
}
