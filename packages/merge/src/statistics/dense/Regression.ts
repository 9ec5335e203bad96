/**
 * The closed form of regression fusion: one matrix W that maps every model's inputs to what its own matrix makes of them.
 *
 *     W* = argmin_W Σ_t a_t tr((W − W_t) G_t (W − W_t)ᵀ) + r |W − T|²
 *     (W* − T) (Σ_t a_t G_t + r I) = Σ_t a_t (W_t − T) G_t
 *
 * G_t are covariances of inputs, in full or by blocks of columns; off-diagonal elements may be shrunk. Solved for the
 * difference from T, in double precision, so that models that agree give exactly what they agree on.
 */
import { known } from "@hila/core/Lookup"
import * as Cholesky from "./Cholesky.ts"
import * as Dense from "./Dense.ts"
import type { Factor } from "./Factor.ts"

/** A tensor `[rows, columns]` of every model, and what is known of their inputs. */
export interface RegressionJob {
  readonly rows: number
  readonly columns: number
  readonly models: ReadonlyArray<Float32Array>
  readonly inputs: ReadonlyArray<Factor>
  /** a_t. */
  readonly weights: ReadonlyArray<number>
  /** Factor of the covariances' off-diagonal elements. */
  readonly alpha: number
  /** T. */
  readonly towards: Float32Array
  /** r ≥ 0. */
  readonly ridge: number
}

/** A solved tensor. */
export interface Solved {
  readonly values: Float32Array // [rows, columns]
  /** ‖what the equations still lack‖ / ‖their right side‖ at the solution; 0 where the right side is 0. */
  readonly residual: number
  /** Iterations, where there are any. */
  readonly iterations: number
  /** Blocks whose covariances were singular, so that a small ridge was added. */
  readonly singular: number
}

/** Rows that are solved at once. */
const PANEL = 1024
/** Where the sum of covariances is singular: this share of its mean diagonal is added to the diagonal. */
const RIDGE = 1e-6

/** Bytes of working memory. */
export const bytesOf = (rows: number, { size }: Pick<Factor, "blocks" | "size">): number =>
  8 * (3 * size * size + 4 * Math.min(rows, PANEL) * size) + 8 * 256 * size

/** Solves a tensor. */
export const solve = (job: RegressionJob): Solved => {
  const { columns, inputs, rows, towards } = job
  const [{ blocks, size }] = inputs as readonly [Factor, ...ReadonlyArray<Factor>]
  const space = Dense.workspace(bytesOf(rows, { blocks, size }))
  const values = towards.slice()
  const totals = { lacking: 0, right: 0, singular: 0 }
  for (let block = 0; block < blocks; block++) {
    const mark = space.mark()
    const grams = { values: space.doubles(size * size), stride: size }
    sumOf(job, block, grams.values)
    const lower = { values: space.doubles(size * size), stride: size }
    if (!factorised(space, lower, grams, size)) totals.singular += 1
    for (let first = 0; first < rows; first += PANEL) {
      const count = Math.min(PANEL, rows - first)
      const inner = space.mark()
      panel(space, job, { block, first, count, columns, size }, lower, grams, values, totals)
      space.reset(inner)
    }
    space.reset(mark)
  }
  const residual = totals.right === 0 ? 0 : Math.sqrt(totals.lacking / totals.right)
  return { values, residual, iterations: 0, singular: totals.singular }
}

const element = (value: number, i: number, alpha: number, size: number) =>
  Math.floor(i / size) === i % size ? value : alpha * value

/** Σ_t a_t G_t + r I of a block. */
const sumOf = ({ alpha, inputs, ridge, weights }: RegressionJob, block: number, out: Float64Array): void => {
  const size = Math.sqrt(out.length)
  for (const [t, { values }] of inputs.entries()) {
    const at = block * out.length
    for (let i = 0; i < out.length; i++)
      out[i] = known(out[i]) + known(weights[t]) * element(known(values[at + i]), i, alpha, size)
  }
  for (let i = 0; i < size; i++) out[i * size + i] = known(out[i * size + i]) + ridge
}

type Doubles = Dense.Matrix<Float64Array>

/** Factorises a copy; where it is singular, with a ridge that goes into the matrix itself. False if that was needed. */
const factorised = (space: Dense.Workspace, lower: Doubles, matrix: Doubles, size: number): boolean => {
  const { values } = matrix
  let trace = 0
  let most = 0
  for (let i = 0; i < size; i++) {
    trace += known(values[i * size + i])
    most = Math.max(most, known(values[i * size + i]))
  }
  lower.values.set(values)
  if (most > 0 && Cholesky.factorise(space, lower, size, 1e-12 * most)) return true
  // What is not finite stays so with any ridge; of finite numbers some ridge makes a matrix positive definite.
  for (let ridge = trace > 0 ? (RIDGE * trace) / size : 1; Number.isFinite(ridge); ridge *= 10) {
    for (let i = 0; i < size; i++) values[i * size + i] = known(values[i * size + i]) + ridge
    lower.values.set(values)
    if (Cholesky.factorise(space, lower, size, 0)) return false
  }
  throw new RangeError("its covariances are not finite")
}

interface Panel {
  readonly block: number
  readonly first: number
  readonly count: number
  readonly columns: number
  readonly size: number
}

const panel = (
  space: Dense.Workspace,
  { alpha, inputs, models, towards, weights }: RegressionJob,
  { block, columns, count, first, size }: Panel,
  lower: Doubles,
  grams: Doubles,
  values: Float32Array,
  totals: { lacking: number; right: number },
): void => {
  const at = (row: number, column: number) => (first + row) * columns + block * size + column
  const right = { values: space.doubles(size * count), stride: count } // [size, count], as all right sides here
  for (const [t, model] of models.entries()) {
    const mark = space.mark()
    const difference = { values: space.doubles(size * count), stride: count }
    const gram = { values: space.doubles(size * size), stride: size }
    let any = false
    for (let row = 0; row < count; row++) {
      for (let column = 0; column < size; column++) {
        const value = known(weights[t]) * (known(model[at(row, column)]) - known(towards[at(row, column)]))
        if (value !== 0) any = true
        difference.values[column * count + row] = value
      }
    }
    if (any) {
      const own = known(inputs[t]).values.subarray(block * size * size, (block + 1) * size * size)
      for (let i = 0; i < own.length; i++) gram.values[i] = element(known(own[i]), i, alpha, size)
      space.multiplyAdd(right, gram, difference, { m: size, n: count, k: size })
    }
    space.reset(mark)
  }
  const solution = { values: space.doubles(size * count), stride: count }
  solution.values.set(right.values)
  Cholesky.solve(space, lower, size, solution, count)
  const product = { values: space.doubles(size * count), stride: count }
  space.multiplyAdd(product, grams, solution, { m: size, n: count, k: size })
  for (const [i, wanted] of right.values.entries()) {
    totals.right += wanted ** 2
    totals.lacking += (wanted - known(product.values[i])) ** 2
  }
  for (let row = 0; row < count; row++)
    for (let column = 0; column < size; column++)
      values[at(row, column)] = known(values[at(row, column)]) + known(solution.values[column * count + row])
}
