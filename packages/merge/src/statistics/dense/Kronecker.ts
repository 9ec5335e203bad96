/**
 * Regression fusion with both Kronecker factors of each model's curvature, by conjugate gradients.
 *
 *     W* = argmin_W Σ_j tr(S_j (W − W_j) A_j (W − W_j)ᵀ) + r |W − T|²
 *     Σ_j S_j D A_j + r D = Σ_j S_j (W_j − T) A_j,   W* = T + D
 *
 * A term j belongs to a model; a model may have several. The factors are full, block-diagonal or diagonal. The iteration
 * starts at T and is preconditioned by the diagonal of the operator; matrices are in single precision, sums in double.
 * Where all left factors are diagonal, rows are independent: each has its own steps, and they are solved in panels.
 *
 * Source: Martens & Grosse 2015 (arXiv 1503.05671) for the factors; Hestenes & Stiefel 1952 for the iteration.
 */
import { known } from "@hila/core/Lookup"
import * as Dense from "./Dense.ts"
import { diagonalOf, type Factor } from "./Factor.ts"
import type { Solved } from "./Regression.ts"

/** A tensor `[rows, columns]` of every model, and its curvature as a sum of Kronecker products. */
export interface KroneckerJob {
  readonly rows: number
  readonly columns: number
  readonly models: ReadonlyArray<Float32Array>
  readonly terms: ReadonlyArray<{ readonly model: number; readonly left: Factor; readonly right: Factor }>
  /** T. */
  readonly towards: Float32Array
  /** r ≥ 0. */
  readonly ridge: number
  /** The most iterations. */
  readonly iterations: number
  /** The relative residual at which the iteration ends. */
  readonly tolerance: number
}

const PANEL = 4096

const panelOf = (rows: number, lefts: ReadonlyArray<Pick<Factor, "size">>) =>
  lefts.every(({ size }) => size === 1) ? Math.min(rows, PANEL) : rows

/** Bytes of working memory. */
export const bytesOf = (
  rows: number,
  columns: number,
  terms: ReadonlyArray<{
    readonly left: Pick<Factor, "blocks" | "size">
    readonly right: Pick<Factor, "blocks" | "size">
  }>,
): number => {
  const panel = panelOf(
    rows,
    terms.map(({ left }) => left),
  )
  const factors = terms.flatMap(({ left, right }) => [left, right])
  const held = factors.reduce((sum, { blocks, size }) => sum + blocks * size * size, 0)
  return 4 * (7 * panel * columns + held) + 256 * (factors.length + 10)
}

/** Solves a tensor. */
export const solve = (job: KroneckerJob): Solved => {
  const { columns, models, rows, terms, towards } = job
  const space = Dense.workspace(bytesOf(rows, columns, terms))
  const panel = panelOf(
    rows,
    terms.map(({ left }) => left),
  )
  const independent = terms.every(({ left }) => left.size === 1)
  const values = towards.slice()
  let [lacking, right, iterations] = [0, 0, 0]
  for (let first = 0; first < rows; first += panel) {
    const count = Math.min(panel, rows - first)
    const mark = space.mark()
    const own = terms.map(({ left, model, right: of }) => ({
      model,
      left: placed(space, panel === rows ? left : rowsOf(left, first, count)),
      right: placed(space, of),
    }))
    const system = systemOf(space, own, job.ridge, count, columns)
    const wanted = rightSide(space, own, count, columns, (model) => {
      const range = [first * columns, (first + count) * columns] as const
      return [known(models[model]).subarray(...range), towards.subarray(...range)]
    })
    const found = iterate(space, system, wanted, independent ? columns : count * columns, job)
    for (let i = 0; i < found.solution.length; i++)
      values[first * columns + i] = known(values[first * columns + i]) + known(found.solution[i])
    lacking += found.lacking
    right += found.right
    iterations = Math.max(iterations, found.iterations)
    space.reset(mark)
  }
  return { values, residual: right === 0 ? 0 : Math.sqrt(lacking / right), iterations, singular: 0 }
}

/** Rows `[first, first + count)` of a diagonal factor. */
const rowsOf = ({ values }: Factor, first: number, count: number): Factor => ({
  blocks: count,
  size: 1,
  values: values.subarray(first, first + count),
})

const placed = (space: Dense.Workspace, { blocks, size, values }: Factor): Factor => {
  const copy = space.floats(values.length)
  copy.set(values)
  return { blocks, size, values: copy }
}

interface Term {
  readonly model: number
  readonly left: Factor
  readonly right: Factor
}

interface System {
  readonly length: number
  /** `out` = Σ S X A + r X. */
  readonly apply: (out: Float32Array, x: Float32Array) => void
  /** The inverse of the operator's diagonal; 0 where that is 0. */
  readonly inverse: Float32Array
}

const systemOf = (
  space: Dense.Workspace,
  terms: ReadonlyArray<Term>,
  ridge: number,
  rows: number,
  columns: number,
): System => {
  const inverse = space.floats(rows * columns)
  for (const { left, right } of terms) {
    const [l, r] = [diagonalOf(left), diagonalOf(right)]
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        inverse[i * columns + j] = known(inverse[i * columns + j]) + known(l[i]) * known(r[j])
  }
  for (let i = 0; i < inverse.length; i++) {
    const value = known(inverse[i]) + ridge
    inverse[i] = value > 0 ? 1 / value : 0
  }
  const between = space.floats(rows * columns)
  return {
    length: rows * columns,
    inverse,
    apply: (out, x) => {
      for (let i = 0; i < out.length; i++) out[i] = ridge * known(x[i])
      for (const term of terms) addTerm(space, out, x, between, term, rows, columns)
    },
  }
}

/** `out` += S X A. */
const addTerm = (
  space: Dense.Workspace,
  out: Float32Array,
  x: Float32Array,
  between: Float32Array,
  { left, right }: Term,
  rows: number,
  columns: number,
): void => {
  const whole = (values: Float32Array) => ({ values, stride: columns })
  if (right.size === 1) {
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        between[i * columns + j] = known(x[i * columns + j]) * known(right.values[j])
  } else {
    between.fill(0)
    const { size } = right
    for (let block = 0; block < right.blocks; block++) {
      const at = block * size
      const factor = { values: right.values.subarray(at * size), stride: size }
      const target = Dense.from(whole(between), 0, at)
      space.multiplyAdd(target, Dense.from(whole(x), 0, at), factor, { m: rows, n: size, k: size })
    }
  }
  if (left.size === 1) {
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        out[i * columns + j] =
          known(out[i * columns + j]) + known(left.values[i]) * known(between[i * columns + j])
    return
  }
  const { size } = left
  for (let block = 0; block < left.blocks; block++) {
    const at = block * size
    const factor = { values: left.values.subarray(at * size), stride: size }
    const [target, source] = [Dense.from(whole(out), at, 0), Dense.from(whole(between), at, 0)]
    space.multiplyAdd(target, factor, source, { m: size, n: columns, k: size })
  }
}

/** Σ S (W − T) A over the terms. */
const rightSide = (
  space: Dense.Workspace,
  terms: ReadonlyArray<Term>,
  rows: number,
  columns: number,
  pair: (model: number) => readonly [Float32Array, Float32Array],
): Float32Array => {
  const out = space.floats(rows * columns)
  const mark = space.mark()
  const [difference, between] = [space.floats(rows * columns), space.floats(rows * columns)]
  for (const term of terms) {
    const [model, towards] = pair(term.model)
    for (let i = 0; i < difference.length; i++) difference[i] = known(model[i]) - known(towards[i])
    addTerm(space, out, difference, between, term, rows, columns)
  }
  space.reset(mark)
  return out
}

/** The inner products of each system's part of two arrays, and of the whole: `length` elements belong to one system. */
const products = (a: Float32Array, b: Float32Array, length: number): Float64Array => {
  const sums = new Float64Array(length === 0 ? 0 : a.length / length)
  for (let system = 0; system < sums.length; system++) {
    let sum = 0
    const end = (system + 1) * length
    for (let i = system * length; i < end; i++) sum += known(a[i]) * known(b[i])
    sums[system] = sum
  }
  return sums
}

const total = (sums: Float64Array): number => sums.reduce((sum, each) => sum + each, 0)

/**
 * Conjugate gradients from 0, preconditioned by the diagonal. Independent systems of `each` elements go side by side,
 * every one with its own steps.
 */
const iterate = (
  space: Dense.Workspace,
  { apply, inverse, length }: System,
  wanted: Float32Array,
  each: number,
  { iterations: most, tolerance }: Pick<KroneckerJob, "iterations" | "tolerance">,
) => {
  const right = total(products(wanted, wanted, each))
  const [solution, rest, direction, product] = [
    space.floats(length),
    space.floats(length),
    space.floats(length),
    space.floats(length),
  ]
  rest.set(wanted)
  for (let i = 0; i < length; i++) direction[i] = known(inverse[i]) * known(rest[i])
  let energy = products(rest, direction, each)
  let iterations = 0
  while (iterations < most && total(products(rest, rest, each)) > tolerance ** 2 * right) {
    apply(product, direction)
    const curvature = products(direction, product, each)
    const next = new Float64Array(energy.length)
    for (let system = 0; system < energy.length; system++) {
      const step = known(curvature[system]) > 0 ? known(energy[system]) / known(curvature[system]) : 0
      let sum = 0
      const end = (system + 1) * each
      for (let i = system * each; i < end; i++) {
        solution[i] = known(solution[i]) + step * known(direction[i])
        const left = known(rest[i]) - step * known(product[i])
        rest[i] = left
        sum += left * known(inverse[i]) * left
      }
      next[system] = sum
      const ratio = known(energy[system]) > 0 ? sum / known(energy[system]) : 0
      for (let i = system * each; i < end; i++)
        direction[i] = known(inverse[i]) * known(rest[i]) + ratio * known(direction[i])
    }
    energy = next
    iterations += 1
  }
  apply(product, solution)
  let lacking = 0
  for (let i = 0; i < length; i++) lacking += (known(wanted[i]) - known(product[i])) ** 2
  return { solution, iterations, lacking, right }
}
