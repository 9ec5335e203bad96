/**
 * Task vectors of a block: model − base, with the masks and the per-unit coefficients that the task names.
 *
 * What HILA and Sens-Merging decide about heads and layers reaches every task-vector method through here.
 */
import type { Kernels } from "../kernels/Kernels.ts"
import type { Block, Task, UnitSpan } from "./Method.ts"

/** Overwrites a model's values with its task vector, and gives it. */
export const of = (kernels: Kernels, block: Block, task: Task, model: number): Float32Array => {
  const delta = block.models[model]!
  kernels.subtract(delta, delta, block.base)
  const mask = block.masks[model]
  // A vector's mask has one byte for each element.
  if (mask !== undefined) kernels.keepBits(delta, mask, mask.length === delta.length ? 1 : block.columns)
  for (const span of task.units ?? []) {
    const columns = span.axis === 1 || task.shape.length < 2
    scaleSpan(kernels, block, delta, { ...span, axis: columns ? 1 : 0 }, span.weights[model]!)
  }
  return delta
}

/** Overwrites every model's values with its task vector, and gives them. */
export const all = (kernels: Kernels, block: Block, task: Task): ReadonlyArray<Float32Array> =>
  block.models.map((_, model) => of(kernels, block, task, model))

const scaleSpan = (kernels: Kernels, block: Block, delta: Float32Array, span: UnitSpan, weight: number) => {
  if (weight === 1) return
  const { columns, firstColumn, firstRow, rows } = block
  if (span.axis === 0) {
    const top = Math.max(span.start - firstRow, 0)
    const bottom = Math.min(span.end - firstRow, rows)
    if (top < bottom) kernels.scale(delta.subarray(top * columns, bottom * columns), weight)
    return
  }
  const left = Math.max(span.start - firstColumn, 0)
  const right = Math.min(span.end - firstColumn, columns)
  if (left >= right) return
  for (let row = 0; row < rows; row++)
    kernels.scale(delta.subarray(row * columns + left, row * columns + right), weight)
}
