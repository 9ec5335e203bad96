/**
 * Cholesky factorisation and the systems it solves, in double precision, by blocks.
 *
 * Source: Golub & Van Loan, "Matrix Computations", algorithms 4.2.1 and 3.1.1, with products of blocks.
 */
import { known } from "@hila/core/Lookup"
import * as Dense from "./Dense.ts"

type Matrix = Dense.Matrix<Float64Array>

const BLOCK = 48

/**
 * Overwrites the lower triangle of a symmetric matrix `[n, n]` with L, P = L Lᵀ. False where a pivot is not above
 * `least`: then the matrix is not positive definite, and its content is lost.
 */
export const factorise = (space: Dense.Workspace, matrix: Matrix, n: number, least: number): boolean => {
  const { stride, values } = matrix
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(start + BLOCK, n)
    if (!factoriseBlock(matrix, start, end, least)) return false
    // The rows below: L21 = A21 L11⁻ᵀ
    for (let i = end; i < n; i++) {
      for (let j = start; j < end; j++) {
        let sum = known(values[i * stride + j])
        for (let k = start; k < j; k++) sum -= known(values[i * stride + k]) * known(values[j * stride + k])
        values[i * stride + j] = sum / known(values[j * stride + j])
      }
    }
    if (end === n) continue
    const mark = space.mark()
    const [rows, width] = [n - end, end - start]
    const turned = { values: space.doubles(width * rows), stride: rows } // −L21ᵀ
    for (let i = 0; i < rows; i++)
      for (let k = 0; k < width; k++)
        turned.values[k * rows + i] = -known(values[(end + i) * stride + start + k])
    // The part below and right: A22 −= L21 L21ᵀ, its lower triangle by strips.
    for (let first = 0; first < rows; first += 4 * BLOCK) {
      const size = { m: rows - first, n: Math.min(4 * BLOCK, rows - first), k: width }
      const target = Dense.from(matrix, end + first, end + first)
      space.multiplyAdd(target, Dense.from(matrix, end + first, start), Dense.from(turned, 0, first), size)
    }
    space.reset(mark)
  }
  return true
}

const factoriseBlock = ({ stride, values }: Matrix, start: number, end: number, least: number): boolean => {
  for (let j = start; j < end; j++) {
    let pivot = known(values[j * stride + j])
    for (let k = start; k < j; k++) pivot -= known(values[j * stride + k]) ** 2
    if (!(pivot > least)) return false
    const root = Math.sqrt(pivot)
    values[j * stride + j] = root
    for (let i = j + 1; i < end; i++) {
      let sum = known(values[i * stride + j])
      for (let k = start; k < j; k++) sum -= known(values[i * stride + k]) * known(values[j * stride + k])
      values[i * stride + j] = sum / root
    }
  }
  return true
}

/** Overwrites B `[n, columns]` with the solution of L Lᵀ X = B; L is the lower triangle that `factorise` left. */
export const solve = (
  space: Dense.Workspace,
  lower: Matrix,
  n: number,
  right: Matrix,
  columns: number,
): void => {
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(start + BLOCK, n)
    // B₁ −= L₁₀ X₀: the product subtracts a negated copy of L₁₀.
    subtract(space, right, { start, end, from: 0, to: start, columns }, (i, k) =>
      known(lower.values[i * lower.stride + k]),
    )
    forward(lower, right, start, end, columns)
  }
  for (let end = n; end > 0;) {
    const start = Math.max(0, end - ((end - 1) % BLOCK) - 1)
    subtract(space, right, { start, end, from: end, to: n, columns }, (i, k) =>
      known(lower.values[k * lower.stride + i]),
    )
    backward(lower, right, start, end, columns)
    end = start
  }
}

interface Part {
  readonly start: number
  readonly end: number
  readonly from: number
  readonly to: number
  readonly columns: number
}

/** Rows `[start, end)` of B −= M · rows `[from, to)` of B. */
const subtract = (
  space: Dense.Workspace,
  right: Matrix,
  { columns, end, from, start, to }: Part,
  at: (row: number, column: number) => number,
): void => {
  if (to <= from) return
  const mark = space.mark()
  const copy = { values: space.doubles((end - start) * (to - from)), stride: to - from }
  for (let i = start; i < end; i++)
    for (let k = from; k < to; k++) copy.values[(i - start) * copy.stride + k - from] = -at(i, k)
  const size = { m: end - start, n: columns, k: to - from }
  space.multiplyAdd(Dense.from(right, start, 0), copy, Dense.from(right, from, 0), size)
  space.reset(mark)
}

const forward = (lower: Matrix, right: Matrix, start: number, end: number, columns: number): void => {
  for (let i = start; i < end; i++) {
    for (let k = start; k < i; k++) addRow(right, i, k, -known(lower.values[i * lower.stride + k]), columns)
    scaleRow(right, i, known(lower.values[i * lower.stride + i]), columns)
  }
}

const backward = (lower: Matrix, right: Matrix, start: number, end: number, columns: number): void => {
  for (let i = end - 1; i >= start; i--) {
    for (let k = i + 1; k < end; k++) addRow(right, i, k, -known(lower.values[k * lower.stride + i]), columns)
    scaleRow(right, i, known(lower.values[i * lower.stride + i]), columns)
  }
}

const addRow = (
  { stride, values }: Matrix,
  to: number,
  from: number,
  factor: number,
  columns: number,
): void => {
  const [a, b] = [to * stride, from * stride]
  for (let j = 0; j < columns; j++) values[a + j] = known(values[a + j]) + factor * known(values[b + j])
}

const scaleRow = ({ stride, values }: Matrix, row: number, divisor: number, columns: number): void => {
  const at = row * stride
  for (let j = 0; j < columns; j++) values[at + j] = known(values[at + j]) / divisor
}
