/**
 * Singular value decomposition of a matrix to a small rank, by subspace iteration.
 *
 * Halko, Martinsson & Tropp 2011, algorithm 4.4: a random subspace is multiplied by A Aᵀ a few times, orthonormalised in
 * between, and the small matrix that is left is decomposed by Jacobi rotations. All in f64, and repeatable.
 */
import { known } from "@hila/core/Lookup"

/** A matrix, row-major. */
export interface Matrix {
  readonly rows: number
  readonly columns: number
  readonly values: Float64Array // [rows, columns]
}

/** A ≈ U diag(s) Vᵀ. */
export interface LowRank {
  readonly u: Matrix // [rows, rank]
  readonly singular: Float64Array // [rank], falling
  readonly v: Matrix // [columns, rank]
}

const matrix = (rows: number, columns: number): Matrix => ({
  rows,
  columns,
  values: new Float64Array(rows * columns),
})

/** More columns than the rank: the subspace then holds the wanted directions better. */
const OVERSAMPLING = 8
const ITERATIONS = 4

/** The best approximation of `a` with at most `rank` singular values, up to the precision of the iteration. */
export const decompose = (a: Matrix, rank: number): LowRank => {
  const width = Math.min(rank + OVERSAMPLING, a.rows, a.columns)
  let basis = orthonormal(multiply(a, seeded(a.columns, width)))
  for (let step = 0; step < ITERATIONS; step++) {
    basis = orthonormal(multiply(a, orthonormal(multiplyTransposed(a, basis))))
  }
  // B = Qᵀ A, held as Bᵀ; B Bᵀ = W diag(s²) Wᵀ.
  const small = multiplyTransposed(a, basis) // [columns, width]
  const { values, vectors } = eigen(multiplyTransposed(small, small))
  const kept = Math.min(rank, width)
  const singular = Float64Array.from(values.subarray(0, kept), (value) => Math.sqrt(Math.max(0, value)))
  const rotation = firstColumns(vectors, kept)
  const v = multiply(small, rotation)
  for (let row = 0; row < v.rows; row++) {
    for (let column = 0; column < kept; column++) {
      const at = row * kept + column
      v.values[at] = singular[column] === 0 ? 0 : known(v.values[at]) / known(singular[column])
    }
  }
  return { u: multiply(basis, rotation), singular, v }
}

/** A repeatable matrix of numbers in (−1, 1). */
const seeded = (rows: number, columns: number): Matrix => {
  const out = matrix(rows, columns)
  let state = 0x2545f491
  for (let i = 0; i < out.values.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    out.values[i] = state / 2 ** 31
  }
  return out
}

/** The transpose of a matrix of f32, [rows, columns] to [columns, rows]. */
export const turned = (values: Float32Array, rows: number, columns: number): Float32Array => {
  const out = new Float32Array(values.length)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = known(values[i * columns + j])
  return out
}

/** A · B. */
export const multiply = (a: Matrix, b: Matrix): Matrix => {
  const out = matrix(a.rows, b.columns)
  for (let i = 0; i < a.rows; i++) {
    const to = out.values.subarray(i * b.columns, (i + 1) * b.columns)
    for (let k = 0; k < a.columns; k++) {
      const factor = known(a.values[i * a.columns + k])
      if (factor === 0) continue
      const from = k * b.columns
      for (let j = 0; j < to.length; j++) to[j] = known(to[j]) + factor * known(b.values[from + j])
    }
  }
  return out
}

/** Aᵀ · B. */
const multiplyTransposed = (a: Matrix, b: Matrix): Matrix => {
  const out = matrix(a.columns, b.columns)
  for (let k = 0; k < a.rows; k++) {
    const from = k * b.columns
    for (let i = 0; i < a.columns; i++) {
      const factor = known(a.values[k * a.columns + i])
      if (factor === 0) continue
      const to = i * b.columns
      for (let j = 0; j < b.columns; j++)
        out.values[to + j] = known(out.values[to + j]) + factor * known(b.values[from + j])
    }
  }
  return out
}

/** Columns made orthonormal (Gram–Schmidt, twice); a column that depends on those before it becomes zero. */
const orthonormal = (a: Matrix): Matrix => {
  const columns = Array.from({ length: a.columns }, (_, j) =>
    Float64Array.from({ length: a.rows }, (__, i) => known(a.values[i * a.columns + j])),
  )
  for (const [j, column] of columns.entries()) {
    const before = Math.sqrt(dot(column, column))
    for (const _ of [0, 1]) {
      for (const other of columns.slice(0, j)) {
        const share = dot(column, other)
        for (let i = 0; i < column.length; i++) column[i] = known(column[i]) - share * known(other[i])
      }
    }
    const length = Math.sqrt(dot(column, column))
    const scale = length > 1e-12 * before && length > 0 ? 1 / length : 0
    for (let i = 0; i < column.length; i++) column[i] = known(column[i]) * scale
  }
  const out = matrix(a.rows, a.columns)
  for (const [j, column] of columns.entries())
    for (let i = 0; i < a.rows; i++) out.values[i * a.columns + j] = known(column[i])
  return out
}

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += known(a[i]) * known(b[i])
  return sum
}

const firstColumns = ({ columns, rows, values }: Matrix, count: number): Matrix => {
  const out = matrix(rows, count)
  for (let i = 0; i < rows; i++) out.values.set(values.subarray(i * columns, i * columns + count), i * count)
  return out
}

/** Eigenvalues (falling) and eigenvectors (columns) of a symmetric matrix, by cyclic Jacobi rotations. */
const eigen = (symmetric: Matrix): { readonly values: Float64Array; readonly vectors: Matrix } => {
  const n = symmetric.rows
  const a = Float64Array.from(symmetric.values)
  const v = new Float64Array(n * n)
  for (let i = 0; i < n; i++) v[i * n + i] = 1
  for (let sweep = 0; sweep < 60; sweep++) {
    let [off, all] = [0, 0]
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        const square = known(a[i * n + j]) ** 2
        all += square
        if (i !== j) off += square
      }
    if (off <= 1e-30 * all) break
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q)
  }
  const order = Array.from({ length: n }, (_, i) => i).toSorted(
    (i, j) => known(a[j * n + j]) - known(a[i * n + i]),
  )
  const vectors = matrix(n, n)
  for (const [to, from] of order.entries())
    for (let i = 0; i < n; i++) vectors.values[i * n + to] = known(v[i * n + from])
  return { values: Float64Array.from(order, (i) => known(a[i * n + i])), vectors }
}

/** One rotation that makes a[p, q] zero. */
const rotate = (a: Float64Array, v: Float64Array, n: number, p: number, q: number): void => {
  const apq = known(a[p * n + q])
  if (apq === 0) return
  const theta = (known(a[q * n + q]) - known(a[p * n + p])) / (2 * apq)
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1))
  const c = 1 / Math.sqrt(t * t + 1)
  const s = t * c
  for (let k = 0; k < n; k++) {
    const [kp, kq] = [known(a[k * n + p]), known(a[k * n + q])]
    a[k * n + p] = c * kp - s * kq
    a[k * n + q] = s * kp + c * kq
  }
  for (let k = 0; k < n; k++) {
    const [pk, qk] = [known(a[p * n + k]), known(a[q * n + k])]
    a[p * n + k] = c * pk - s * qk
    a[q * n + k] = s * pk + c * qk
  }
  for (let k = 0; k < n; k++) {
    const [kp, kq] = [known(v[k * n + p]), known(v[k * n + q])]
    v[k * n + p] = c * kp - s * kq
    v[k * n + q] = s * kp + c * kq
  }
}
