import { assert, describe, it } from "@effect/vitest"
import { compile } from "../assembly/build.mjs"
import * as Dense from "../src/statistics/dense/Dense.ts"
import type { Factor } from "../src/statistics/dense/Factor.ts"
import * as Kronecker from "../src/statistics/dense/Kronecker.ts"
import * as Regression from "../src/statistics/dense/Regression.ts"
import { base64 } from "../src/statistics/dense/wasmBytes.ts"
import { eliminated, entryOf } from "./systems.ts"
import { random } from "./support.ts"

const normal = (next: () => number) => next() + next() + next() - 1.5
const draw = (next: () => number, length: number) => Float32Array.from({ length }, () => normal(next))

/** A positive definite factor of any form; with `rank` a singular one. */
const covariance = (next: () => number, blocks: number, size: number, rank = size + 3): Factor => {
  const values = new Float32Array(blocks * size * size)
  for (let block = 0; block < blocks; block++) {
    const samples = Array.from({ length: rank }, () => draw(next, size))
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        values[(block * size + i) * size + j] = samples.reduce((sum, x) => sum + x[i]! * x[j]!, 0) / rank
  }
  return { blocks, size, values }
}

const worst = (a: Float32Array, b: ArrayLike<number>) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)

describe("dense matrices", () => {
  it("are multiplied as the definition says, at any size and stride", () => {
    const next = random(1)
    const sizes = [
      [1, 1, 1],
      [5, 9, 3],
      [4, 8, 256],
      [7, 517, 300],
      [66, 31, 513],
    ] as const
    for (const [m, n, k] of sizes) {
      const space = Dense.workspace(8 * (m * (n + 3) + m * (k + 1) + k * (n + 2)) + 4096)
      for (const kind of ["floats", "doubles"] as const) {
        const make = (rows: number, columns: number, stride: number) => {
          const values = space[kind](rows * stride)
          for (let i = 0; i < values.length; i++) values[i] = normal(next)
          return { values, stride, rows, columns }
        }
        const [c, a, b] = [make(m, n, n + 3), make(m, k, k + 1), make(k, n, n + 2)]
        const expected = Array.from({ length: c.values.length }, (_, at) => {
          const [i, j] = [Math.floor(at / c.stride), at % c.stride]
          let sum = c.values[at]!
          if (j < n)
            for (let p = 0; p < k; p++) sum += a.values[i * a.stride + p]! * b.values[p * b.stride + j]!
          return sum
        })
        const most = kind === "floats" ? 2e-4 : 1e-11
        space.multiplyAdd<Float32Array | Float64Array>(c, a, b, { m, n, k })
        for (const [at, value] of expected.entries()) assert.isBelow(Math.abs(c.values[at]! - value), most)
      }
    }
  })

  it("are what assembly/dense.as compiles to", async () => {
    assert.strictEqual(Buffer.from(await compile("dense")).toString("base64"), base64)
  })
})

describe("regression", () => {
  for (const [blocks, size] of [
    [1, 7],
    [1, 131],
    [3, 4],
    [9, 1],
  ] as const) {
    it(`solves its equations with ${blocks} blocks of ${size}`, () => {
      const next = random(blocks * 100 + size)
      const [rows, columns] = [6, blocks * size]
      const models = [draw(next, rows * columns), draw(next, rows * columns)]
      const inputs = models.map(() => covariance(next, blocks, size))
      const job = {
        rows,
        columns,
        models,
        inputs,
        weights: [0.7, 1.3],
        alpha: 0.9,
        towards: draw(next, rows * columns),
        ridge: 0.2,
      }
      const solved = Regression.solve(job)
      // Row by row: (Σ a G̃ + r I) w = Σ a G̃ w_t + r t
      const shrunk = (t: number, i: number, j: number) =>
        (i === j ? 1 : job.alpha) * entryOf(inputs[t]!, i, j)
      const expected = Array.from({ length: rows }, (_, row) =>
        eliminated(
          columns,
          (i, j) => job.weights.reduce((sum, a, t) => sum + a * shrunk(t, i, j), i === j ? job.ridge : 0),
          (i) => {
            let sum = job.ridge * job.towards[row * columns + i]!
            for (const [t, a] of job.weights.entries())
              for (let j = 0; j < columns; j++) sum += a * shrunk(t, i, j) * models[t]![row * columns + j]!
            return sum
          },
        ),
      ).flat()
      assert.isBelow(worst(solved.values, expected), 1e-5)
      assert.isBelow(solved.residual, 1e-10)
      assert.strictEqual(solved.singular, 0)
    })
  }

  it("of singular covariances stays at what it is drawn towards where nothing is known", () => {
    const zero: Factor = { blocks: 1, size: 5, values: new Float32Array(25) }
    const next = random(8)
    const job = { rows: 2, columns: 5, models: [draw(next, 10)], weights: [1], alpha: 1, ridge: 0 }
    const towards = draw(next, 10)
    const solved = Regression.solve({ ...job, inputs: [zero], towards })
    assert.deepStrictEqual(solved.values, towards)
    assert.strictEqual(solved.singular, 1)
    const flat = Regression.solve({ ...job, inputs: [covariance(next, 1, 5, 2)], towards })
    assert.isBelow(flat.residual, 1e-6)
    assert.strictEqual(flat.singular, 1)
  })
})

describe("conjugate gradients", () => {
  const forms = [
    [1, 6],
    [3, 2],
    [6, 1],
  ] as const
  for (const [left, right] of forms.flatMap((a) => forms.map((b) => [a, b] as const))) {
    it(`solve a Kronecker system with left blocks of ${left[1]} and right blocks of ${right[1]}`, () => {
      const next = random(10 * left[1] + right[1])
      const [rows, columns] = [6, 6]
      const models = [draw(next, 36), draw(next, 36)]
      const terms = [0, 1, 1].map((model) => ({
        model,
        left: covariance(next, left[0], left[1]),
        right: covariance(next, right[0], right[1]),
      }))
      const job = { rows, columns, models, terms, towards: draw(next, 36), ridge: 0.3 }
      const solved = Kronecker.solve({ ...job, iterations: 200, tolerance: 1e-7 })
      // One equation per element: Σ S_ik A_lj (W − W_t)_kl + r (W − T)_ij = 0
      const expected = eliminated(
        36,
        (at, of) => {
          const [i, j, k, l] = [Math.floor(at / 6), at % 6, Math.floor(of / 6), of % 6]
          return terms.reduce(
            (sum, term) => sum + entryOf(term.left, i, k) * entryOf(term.right, l, j),
            at === of ? job.ridge : 0,
          )
        },
        (at) => {
          const [i, j] = [Math.floor(at / 6), at % 6]
          let sum = job.ridge * job.towards[at]!
          for (const term of terms)
            for (let k = 0; k < 6; k++)
              for (let l = 0; l < 6; l++)
                sum += entryOf(term.left, i, k) * entryOf(term.right, l, j) * models[term.model]![k * 6 + l]!
          return sum
        },
      )
      assert.isBelow(worst(solved.values, expected), 2e-5)
      assert.isBelow(solved.residual, 2e-6)
      assert.isAbove(solved.iterations, 0)
    })
  }
})
