/** `profile: paper` against slow and obvious versions of the papers' algorithms, over whole models as flat arrays. */
import { assert, describe, it } from "@effect/vitest"
import { definitions } from "../src/methods/registry.ts"
import * as Random from "../src/kernels/Random.ts"
import { drive, type Tensor, withDefaults } from "./drive.ts"
import { random } from "./support.ts"

const shapes = [[6, 10], [37], [5, 3, 4]]
const sizes = shapes.map((shape) => shape.reduce((product, extent) => product * extent, 1))
const total = sizes.reduce((sum, size) => sum + size, 0)

/** Element `index` of a stream: in [0, 1). */
const uniform = (key: number, index: number) => Random.bits24(...Random.lanes(key, 0), index) / 2 ** 24

/** A family of one base and three models; steps of 1/8 make ties and votes that cancel. */
const family = (step: number) => {
  const next = random(11)
  const base = Array.from({ length: total }, () => Math.round((next() * 4 - 2) / step) * step)
  const deltas = [0, 1, 2].map(() => base.map(() => Math.round((next() * 2 - 1) / step) * step))
  return { base, deltas }
}

/** Flat arrays cut into the tensors of a model. */
const tensors = (
  base: ReadonlyArray<number>,
  deltas: ReadonlyArray<ReadonlyArray<number>>,
): ReadonlyArray<Tensor> => {
  let at = 0
  return shapes.map((shape, index) => {
    const [from, to] = [at, at + sizes[index]!]
    at = to
    return {
      name: `tensor ${index}`,
      shape,
      base: Float32Array.from(base.slice(from, to)),
      models: deltas.map((delta) =>
        Float32Array.from(delta.slice(from, to), (value, i) => value + base[from + i]!),
      ),
    }
  })
}

const flat = (results: ReadonlyArray<Float32Array>) => results.flatMap((result) => [...result])

/** The largest difference of two arrays of one length. */
const furthest = (got: ReadonlyArray<number>, wanted: ReadonlyArray<number>): number =>
  got.length === wanted.length
    ? got.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0)
    : Infinity

/** Algorithm 1 of TIES: trim over the whole model keeping ties, elect by the sum, mean of what agrees. */
const tiesByTheBook = (
  base: ReadonlyArray<number>,
  deltas: ReadonlyArray<ReadonlyArray<number>>,
  density: number,
  lambda: number,
): ReadonlyArray<number> => {
  const trimmed = deltas.map((delta) => {
    const kept = Math.floor(density * delta.length)
    const threshold = delta.map(Math.abs).toSorted((a, b) => b - a)[kept - 1]!
    return delta.map((value) => (Math.abs(value) >= threshold ? value : 0))
  })
  const signs = base.map((_, p) => Math.sign(trimmed.reduce((sum, delta) => sum + delta[p]!, 0)))
  const majority = Math.sign(signs.reduce((sum, sign) => sum + sign, 0))
  return base.map((value, p) => {
    const sign = signs[p] === 0 ? majority : signs[p]
    const agreeing = trimmed
      .map((delta) => delta[p]!)
      .filter((each) => each !== 0 && Math.sign(each) === sign)
    const mean = agreeing.reduce((sum, each) => sum + each, 0) / Math.max(agreeing.length, 1)
    return value + lambda * mean
  })
}

describe("profile: paper", () => {
  for (const [title, turn] of [
    ["", 1],
    [" where most signs are negative", -1],
  ] as const) {
    it(`ties is algorithm 1 over the whole model${title}`, () => {
      const { base, deltas: drawn } = family(1 / 8)
      // More of one sign than of the other, and votes that cancel.
      const deltas = drawn.map((delta) =>
        delta.map((value, p) => turn * (p % 3 === 0 ? Math.abs(value) : value)),
      )
      const values = withDefaults(definitions.ties, "paper", 3, {
        weight: [1, 1, 1],
        density: [0.4, 0.4, 0.4],
        lambda: 0.7,
      })
      assert.strictEqual(values["scope"], "global")
      const cancelled = base.filter(
        (_, p) => deltas.reduce((sum, delta) => sum + delta[p]!, 0) === 0 && deltas[0]![p] !== 0,
      )
      assert.isAbove(cancelled.length, 0)
      for (const chunk of [10, 1000]) {
        const got = flat(drive(definitions.ties, values, tensors(base, deltas), chunk))
        assert.isBelow(furthest(got, tiesByTheBook(base, deltas, 0.4, 0.7)), 1e-5)
      }
    })
  }

  it("ties keeps mergekit 0.1.5's exact number per tensor otherwise, first ones first", () => {
    const values = withDefaults(definitions.ties, "tool", 1, { weight: [1], density: [0.5] })
    const model = Float32Array.from([1, -1, 1, 1, 2, 0, 0.5, 1])
    const [got] = drive(
      definitions.ties,
      values,
      [{ name: "x", shape: [8], base: new Float32Array(8), models: [model] }],
      3,
    )
    assert.deepStrictEqual([...got!], [1, -1, 1, 0, 2, 0, 0, 0])
  })

  it("dare drops with probability 1 − p and divides by p", () => {
    const { base, deltas } = family(1e-3)
    const weight = [0.5, 0.3, 0.4]
    const density = [0.5, 0.3, 0.7]
    const values = withDefaults(definitions.dare_linear, "paper", 3, { weight, density, seed: 5 })
    const parts = tensors(base, deltas)
    for (const tensor of parts) {
      const [got] = drive(definitions.dare_linear, values, [tensor])
      const wanted = [...tensor.base!].map((value, i) =>
        tensor.models.reduce((sum, model, t) => {
          const kept = uniform(Random.key(5, t, tensor.name), i) < Math.fround(density[t]!)
          return kept ? sum + (weight[t]! * (model[i]! - value)) / density[t]! : sum
        }, value),
      )
      assert.isBelow(furthest([...got!], wanted), 1e-5)
    }
  })

  it("della drops by rank in the row and divides each element by its own probability", () => {
    const { base, deltas } = family(1e-3)
    const [density, epsilon] = [0.6, 0.2]
    const values = withDefaults(definitions.della_linear, "paper", 1, {
      weight: [1],
      density: [density],
      epsilon: [epsilon],
      seed: 9,
    })
    for (const tensor of tensors(base, deltas.slice(0, 1))) {
      const [got] = drive(definitions.della_linear, values, [tensor])
      const columns = tensor.shape.at(-1)!
      const delta = tensor.models[0]!.map((value, i) => value - tensor.base![i]!)
      const wanted = [...tensor.base!].map((value, i) => {
        const row = Math.floor(i / columns) * columns
        const own = Math.abs(delta[i]!)
        let rank = 0
        for (let j = row; j < row + columns; j++) {
          const other = Math.abs(delta[j]!)
          if (other < own || (other === own && j < i)) rank += 1
        }
        const p = density - epsilon + (2 * epsilon * rank) / (columns - 1)
        return uniform(Random.key(9, 0, tensor.name), i) < p ? value + delta[i]! / p : value
      })
      assert.isBelow(furthest([...got!], wanted), 1e-5)
    }
  })
})

describe("laws that every task-vector method keeps", () => {
  const names = [
    "task_arithmetic",
    "ties",
    "dare_linear",
    "dare_ties",
    "breadcrumbs",
    "breadcrumbs_ties",
    "della",
    "della_linear",
  ] as const
  for (const name of names) {
    it(`${name} with one model, weight 1 and density 1 gives the model; λ = 0 and equal models give the base`, () => {
      const { base, deltas } = family(1 / 8)
      const parts = tensors(base, deltas.slice(0, 1))
      const values = withDefaults(definitions[name], "tool", 1, { weight: [1] })
      assert.deepStrictEqual(flat(drive(definitions[name], values, [parts[0]!])), [...parts[0]!.models[0]!])
      const none = { ...values, lambda: 0 }
      assert.deepStrictEqual(flat(drive(definitions[name], none, [parts[0]!])), [...parts[0]!.base!])
      const same = { ...parts[0]!, models: [parts[0]!.base!] }
      const half = { ...values, density: [0.5] }
      assert.deepStrictEqual(flat(drive(definitions[name], half, [same])), [...parts[0]!.base!])
    })
  }

  it("breadcrumbs with a gamma that selects nothing keeps its window", () => {
    const values = withDefaults(definitions.breadcrumbs, "tool", 1, {
      weight: [1],
      density: [0.5],
      gamma: [0],
    })
    const model = Float32Array.from([1, 8, 2, 7])
    const [got] = drive(definitions.breadcrumbs, values, [
      { name: "x", shape: [4], base: new Float32Array(4), models: [model] },
    ])
    assert.deepStrictEqual([...got!], [0, 8, 0, 7])
  })
})
