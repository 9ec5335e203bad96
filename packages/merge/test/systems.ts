/** Linear systems the slow and obvious way, as a reference for solvers. */
import type { Factor } from "../src/statistics/dense/Factor.ts"

/** Solves a system of `n` equations by Gaussian elimination with row exchanges, in f64. */
export const eliminated = (
  n: number,
  matrix: (row: number, column: number) => number,
  right: (row: number) => number,
): ReadonlyArray<number> => {
  const rows = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (__, j) => matrix(i, j)),
    right(i),
  ])
  for (let column = 0; column < n; column++) {
    let best = column
    for (let i = column; i < n; i++)
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[best]![column]!)) best = i
    ;[rows[column], rows[best]] = [rows[best]!, rows[column]!]
    for (let i = column + 1; i < n; i++) {
      const factor = rows[i]![column]! / rows[column]![column]!
      if (factor === 0) continue
      for (let j = column; j <= n; j++) rows[i]![j] = rows[i]![j]! - factor * rows[column]![j]!
    }
  }
  const solution = Array.from({ length: n }, () => 0)
  for (let i = n - 1; i >= 0; i--) {
    let sum = rows[i]![n]!
    for (let j = i + 1; j < n; j++) sum -= rows[i]![j]! * solution[j]!
    solution[i] = sum / rows[i]![i]!
  }
  return solution
}

/** An element of a block-diagonal matrix. */
export const entryOf = ({ size, values }: Factor, row: number, column: number): number => {
  const block = Math.floor(row / size)
  if (Math.floor(column / size) !== block) return 0
  return values[(block * size + (row % size)) * size + (column % size)]!
}
