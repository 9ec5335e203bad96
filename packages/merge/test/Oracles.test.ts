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

const cases = hasShared
  ? readdirSync(sharedPath(merging)).filter((name) => ![...random, "inputs"].includes(name))
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
    assert.strictEqual(cases.length + random.length, 32)
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

  for (const name of random) {
    it.effect(`${name} has the reference's weights but for the draws`, () =>
      Effect.gen(function* () {
        const { expected, result } = yield* merged(name)
        const base = yield* Checkpoint.open(sharedPath(`${merging}/inputs/base`))
        let [elements, changed, wanted] = [0, 0, 0]
        for (const info of expected.values()) {
          const [before, theirs, ours] = [
            yield* Checkpoint.readFloat32(base, info.name),
            Dtype.toFloat32(yield* Safetensors.read(info), "F32"),
            yield* Checkpoint.readFloat32(result, info.name),
          ]
          // Of a row of few elements the ranks, and so the chances, are few too: the larger tensors tell enough.
          if (before.length < 4000) continue
          let [own, other] = [0, 0]
          for (const [i, value] of before.entries()) {
            if (ours[i] !== value) changed++
            if (theirs[i] !== value) wanted++
            own += Math.abs(ours[i]! - value)
            other += Math.abs(theirs[i]! - value)
          }
          elements += before.length
          assert.approximately(own / other, 1, 0.1, info.name)
        }
        assert.isAbove(elements, 40_000)
        // Six standard errors of the difference of two such shares.
        const share = wanted / elements
        assert.approximately(changed / elements, share, 6 * Math.sqrt((2 * share * (1 - share)) / elements))
      }),
    )
  }

  it.effect("stacked layers are in config.json", () =>
    Effect.gen(function* () {
      const { result } = yield* merged("passthrough-stack")
      assert.strictEqual(result.config["num_hidden_layers"], 4)
    }),
  )
})
