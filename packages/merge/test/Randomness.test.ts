/** The methods that draw random numbers, by their statistics over 24 seeds. */
import { assert, describe, it } from "@effect/vitest"
import { definitions } from "../src/methods/registry.ts"
import { drive, withDefaults } from "./drive.ts"
import { random } from "./support.ts"

const seeds = Array.from({ length: 24 }, (_, seed) => seed)
const shape = [32, 128]
const elements = 32 * 128

/** Values around zero: sums of a few uniform numbers. */
const values = (seed: number, scale: number) => {
  const next = random(seed)
  return Float32Array.from({ length: elements }, () => scale * (next() + next() + next() - 1.5))
}

const base = new Float32Array(elements)
const delta = values(1, 0.1)
const sum = (of: Float32Array) => of.reduce((total, value) => total + Math.abs(value), 0)

const runs = (name: keyof typeof definitions, given: Record<string, number | string | boolean>) =>
  seeds.map((seed) => {
    const { density = 0.3, ...merge } = given
    const settings = withDefaults(definitions[name], "tool", 1, {
      ...merge,
      weight: [1],
      density: [density],
      seed,
      ...(name.startsWith("della") ? { epsilon: [0.1] } : {}),
    })
    return drive(definitions[name], settings, [{ name: "tensor", shape, base, models: [delta] }], 1000)[0]!
  })

const kept = (result: Float32Array) => result.reduce((count, value) => count + (value === 0 ? 0 : 1), 0)
const mean = (of: ReadonlyArray<number>) => of.reduce((total, value) => total + value, 0) / of.length

describe("methods that draw random numbers", () => {
  for (const name of ["dare_linear", "dare_ties", "della", "della_linear"] as const) {
    it(`${name} keeps the share it is asked for, and other elements with every seed`, () => {
      const results = runs(name, {
        density: 0.3,
        rescale: "none",
        ...(name === "della" ? { normalize: false } : {}),
      })
      // Five standard errors of a mean over 24 × 4096 draws.
      assert.approximately(mean(results.map(kept)) / elements, 0.3, 5 * Math.sqrt(0.21 / (24 * elements)))
      for (const result of results)
        assert.approximately(kept(result) / elements, 0.3, 5 * Math.sqrt(0.21 / elements))
      assert.strictEqual(new Set(results.map((result) => result.join())).size, seeds.length)
    })

    it(`${name} with rescale l1 keeps the tensor's L1 norm`, () => {
      for (const result of runs(name, { rescale: "l1", normalize: false }))
        assert.approximately(sum(result) / sum(delta), 1, 1e-5)
    })

    it(`${name} with rescale probability is unbiased in every element`, () => {
      const results = runs(name, { rescale: "probability", normalize: false })
      // δ̂ / δ has mean 1 and variance (1 − p) / p ≤ 4 with p ≥ 0.2.
      const ratios = delta.map((value, i) => mean(results.map((result) => result[i]! / value)))
      assert.approximately(mean([...ratios]), 1, 5 * Math.sqrt(4 / (24 * elements)))
      assert.isAtMost(Math.max(...ratios), 1 + 7 * Math.sqrt(4 / 24))
    })
  }

  it("dare_linear with rescale probability scales by 1 / density exactly", () => {
    for (const result of runs("dare_linear", { density: 0.25, rescale: "probability" }))
      for (const [i, value] of result.entries())
        assert.isTrue(value === 0 || value === Math.fround(4 * delta[i]!))
  })

  it("della keeps large elements of a row more often than small ones, by its window", () => {
    const results = runs("della", { rescale: "none", normalize: false })
    const shares = [0, 0, 0, 0]
    for (let row = 0; row < 32; row++) {
      const order = Array.from({ length: 128 }, (_, i) => row * 128 + i).toSorted(
        (a, b) => Math.abs(delta[a]!) - Math.abs(delta[b]!),
      )
      for (const [rank, i] of order.entries())
        for (const result of results) if (result[i] !== 0) shares[rank >> 5] = shares[rank >> 5]! + 1
    }
    // Quarters of the ranks: probabilities 0.2 … 0.4, on average 0.225, 0.275, 0.325, 0.375.
    for (const [quarter, count] of shares.entries())
      assert.approximately(count / (8 * 128 * seeds.length), 0.225 + 0.05 * quarter, 0.02)
  })

  it("does not depend on chunks, and another tensor's name or model's place gives other draws", () => {
    const definition = definitions.dare_linear
    const settings = withDefaults(definition, "tool", 2, { weight: [1, 1], density: [0.5, 0.5] })
    const at = (name: string, chunk: number, models: ReadonlyArray<Float32Array>) =>
      drive(definition, settings, [{ name, shape, base, models }], chunk)[0]!
    assert.deepStrictEqual(at("x", 100, [delta, base]), at("x", elements, [delta, base]))
    assert.notDeepEqual(at("x", 100, [delta, base]), at("y", 100, [delta, base]))
    assert.notDeepEqual(at("x", 100, [delta, base]), at("x", 100, [base, delta]))
  })
})
