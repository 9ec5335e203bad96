/**
 * Task vectors of a block: model − base, with the masks and the coefficients by layer or unit that the task names.
 *
 * What HILA and Sens-Merging decide about heads and layers reaches every task-vector method through here: masks before
 * a method trims, drops or elects, coefficients after it, so that they weigh what the method leaves of a task vector.
 */
import { at } from "@hila/core/Lookup"
import type { Kernels } from "../kernels/Kernels.ts"
import type { Block, Task, UnitSpan } from "./Method.ts"

/** Overwrites a model's values with its masked task vector, and gives it. */
const of = (kernels: Kernels, block: Block, model: number): Float32Array => {
  const delta = at(block.models, model)
  kernels.subtract(delta, delta, block.base)
  const mask = block.masks[model]
  // A vector's mask has one byte for each element.
  if (mask !== undefined) kernels.keepBits(delta, mask, mask.length === delta.length ? 1 : block.columns)
  return delta
}

/** Overwrites every model's values with its masked task vector, and gives them, not yet weighed. */
export const all = (kernels: Kernels, block: Block): ReadonlyArray<Float32Array> =>
  block.models.map((_, model) => of(kernels, block, model))

/** Multiplies task vectors, or what a method left of them, by the coefficients of their layers and units, in place. */
export const weigh = (
  kernels: Kernels,
  block: Block,
  task: Task,
  deltas: ReadonlyArray<Float32Array>,
): ReadonlyArray<Float32Array> => {
  for (const span of task.units ?? []) {
    const columns = span.axis === 1 || task.shape.length < 2
    for (const [model, delta] of deltas.entries())
      scaleSpan(kernels, block, delta, { ...span, axis: columns ? 1 : 0 }, at(span.weights, model))
  }
  return deltas
}

/** Task vectors with masks and coefficients. */
export const weighted = (kernels: Kernels, block: Block, task: Task): ReadonlyArray<Float32Array> =>
  weigh(kernels, block, task, all(kernels, block))

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
