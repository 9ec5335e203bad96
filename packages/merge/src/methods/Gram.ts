/**
 * Inner products of vectors over a whole tensor, in one pass and in f64: all that methods on a sphere need.
 *
 * Points that such a method visits are combinations of its inputs, so it computes with coefficients and never holds a
 * whole tensor.
 */
import { at, known } from "@hila/core/Lookup"
import type { Block, Pass, Task } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"

/** Inner products, `[vector][vector]`. */
export type Gram = ReadonlyArray<ReadonlyArray<number>>

/** The inner products of vectors given in one piece. */
export const of = (kernels: Kernels, vectors: ReadonlyArray<Float32Array>): Gram =>
  fromTriangle(
    vectors.length,
    vectors.flatMap((a, i) => vectors.slice(0, i + 1).map((b) => kernels.dot(a, b))),
  )

/** A pass whose state afterwards is `finish(gram)`. */
export const pass = <P, S, C>(
  count: number,
  vectors: (kernels: Kernels, block: Block, task: Task<P>) => ReadonlyArray<Float32Array>,
  finish: (gram: Gram, task: Task<P>, state: S) => S,
): Pass<P, S, C> => ({
  sums: (count * (count + 1)) / 2,
  reduce: (kernels, block, task, _, { sums }) => {
    let at = 0
    const all = vectors(kernels, block, task)
    for (const [i, a] of all.entries()) {
      for (let j = 0; j <= i; j++, at++) sums[at] = known(sums[at]) + kernels.dot(a, known(all[j]))
    }
  },
  close: (task, { sums }, state) => finish(fromTriangle(count, sums), task, state),
})

const fromTriangle = (count: number, triangle: ArrayLike<number>): Gram =>
  Array.from({ length: count }, (_, i) =>
    Array.from({ length: count }, (__, j) => {
      const [row, column] = i >= j ? [i, j] : [j, i]
      return at(triangle, (row * (row + 1)) / 2 + column)
    }),
  )

/** The lengths of the vectors. */
export const norms = (gram: Gram): ReadonlyArray<number> => gram.map((row, i) => Math.sqrt(at(row, i)))

/** The inner product of two combinations of the vectors. */
export const inner = (gram: Gram, a: ReadonlyArray<number>, b: ReadonlyArray<number>): number =>
  gram.reduce((sum, row, i) => sum + at(a, i) * row.reduce((part, value, j) => part + value * at(b, j), 0), 0)

/** The cosine of the angle of two of the vectors, in [−1, 1]; 0 where one is zero. */
export const cosine = (gram: Gram, i: number, j: number): number => {
  const length = Math.sqrt(at(at(gram, i), i) * at(at(gram, j), j))
  return length === 0 ? 0 : Math.min(Math.max(at(at(gram, i), j) / length, -1), 1)
}
