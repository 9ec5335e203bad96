/**
 * The norm of a task vector before and after it is thinned out, for methods that scale what stays to the old L1 norm.
 */
import { at } from "@hila/core/Lookup"
import type { Block, Pass, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"

/** The pass's own part of a method's state: one factor per model. */
export interface State {
  readonly factors: ReadonlyArray<number>
}

/** A pass that finds ‖δ‖₁ / ‖thin(δ)‖₁ for each model; 1 where nothing is left. */
export const l1 = <P, S extends State, C>(
  models: number,
  thin: (
    kernels: Kernels,
    block: Block,
    task: Task<P>,
    delta: Float32Array,
    model: number,
    state: S,
    carry: C,
  ) => void,
): Pass<P, S, C> => ({
  sums: 2 * models,
  reduce: (kernels, block, task, state, { sums }, carry) => {
    for (const [model, delta] of TaskVector.all(kernels, block).entries()) {
      sums[2 * model] = at(sums, 2 * model) + kernels.sumAbs(delta)
      thin(kernels, block, task, delta, model, state, carry)
      sums[2 * model + 1] = at(sums, 2 * model + 1) + kernels.sumAbs(delta)
    }
  },
  close: (_, { sums }, state) => ({
    ...state,
    factors: Array.from({ length: models }, (__, model) => {
      const [before, after] = [at(sums, 2 * model), at(sums, 2 * model + 1)]
      return before > 0 && after > 0 ? before / after : 1
    }),
  }),
})

/** The task vectors, thinned out and scaled by the factors of the state. */
export const thinned = (
  kernels: Kernels,
  block: Block,
  { factors }: State,
  thin: (delta: Float32Array, model: number) => void,
): ReadonlyArray<Float32Array> => {
  const deltas = TaskVector.all(kernels, block)
  for (const [model, delta] of deltas.entries()) {
    thin(delta, model)
    const factor = factors.length === 0 ? 1 : at(factors, model)
    if (factor !== 1) kernels.scale(delta, factor)
  }
  return deltas
}
