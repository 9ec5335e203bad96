/** NuSlerp with each column of a tensor as one vector (see `NuSlerp`); it holds the whole tensor at once. */
import { known } from "@hila/core/Lookup"
import type { Method } from "../engine/Method.ts"
import * as Combination from "./Combination.ts"
import { type Params, shares } from "./NuSlerpShares.ts"

export const method: Method<Params> = {
  name: "nuslerp by columns",
  module: import.meta.url,
  block: "tensor",
  start: () => undefined,
  passes: () => [],
  carry: () => undefined,
  combine: (kernels, block, task) => {
    const { out } = block
    // A vector is one, as in mergekit 0.1.5.
    const columns = task.shape.length < 2 ? 1 : block.columns
    const [first, second] = Combination.vectors(kernels, block, task)
    if (first === undefined || second === undefined) return
    for (let column = 0; column < columns; column++) {
      const [a, b] = sharesOf(first, second, column, columns, task.params.weight)
      for (let i = column; i < out.length; i += columns)
        out[i] = Math.fround(a * known(first[i])) + Math.fround(b * known(second[i]))
    }
    if (task.hasBase) kernels.applyTo(out, block.base, 1)
  },
}

const sharesOf = (
  first: Float32Array,
  second: Float32Array,
  column: number,
  columns: number,
  weight: ReadonlyArray<number>,
): readonly [number, number] => {
  const sums = [0, 0, 0] as [number, number, number]
  for (let i = column; i < first.length; i += columns) {
    const [a, b] = [known(first[i]), known(second[i])]
    sums[0] += a * a
    sums[1] += a * b
    sums[2] += b * b
  }
  const [aa, ab, bb] = sums
  const [left, right] = shares(
    [
      [aa, ab],
      [ab, bb],
    ],
    weight,
  )
  return [Math.fround(left), Math.fround(right)]
}
