/**
 * How task vectors become one: their weighted sum, or the weighted mean of those that agree in sign.
 *
 * Sign election (TIES, Yadav et al. 2023, algorithm 1, "elect" and "disjoint merge"): in each position the sign of the
 * sum wins, and only values of that sign are averaged. Mergekit 0.1.5 lets the weights multiply before the vote,
 * and counts a vote of 0 as positive; the paper votes without weights and gives a vote of 0 the sign of the majority.
 */
import { at } from "@hila/core/Lookup"
import type { Block, Task, WeightedSum } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"

/** What the sum of task vectors takes. */
export interface SumParams {
  readonly weight: ReadonlyArray<number>
  readonly lambda: number
  readonly normalize: boolean
}

/** How a method's deltas become the result; coefficients of layers and units are not in them yet. */
export type Sum<P> = (
  kernels: Kernels,
  block: Block,
  task: Task<P>,
  deltas: ReadonlyArray<Float32Array>,
) => void

/**
 * `out = base + λ Σ_t w_t c_t δ_t`, divided by Σ w_t with `normalize` (a sum below 1e-8 counts as 1); c_t are the task's
 * coefficients by layer and unit.
 */
export const weighted = (
  kernels: Kernels,
  block: Block,
  task: Task<SumParams>,
  deltas: ReadonlyArray<Float32Array>,
): void => {
  const { divisor, lambda, weights } = weightedSum(task.params)
  TaskVector.weigh(kernels, block, task, deltas)
  for (const [model, delta] of deltas.entries()) kernels.addScaled(block.out, delta, at(weights, model))
  if (divisor !== 1) kernels.divide(block.out, divisor)
  kernels.applyTo(block.out, block.base, lambda)
}

/** The same as data, for task vectors without coefficients. */
export const weightedSum = ({ lambda, normalize, weight }: SumParams) => {
  const total = normalize ? weight.reduce((sum, each) => sum + each, 0) : 1
  return { weights: weight, divisor: Math.abs(total) >= 1e-8 ? total : 1, lambda } satisfies WeightedSum
}

/** What sign election takes besides. */
export interface ElectParams extends SumParams {
  readonly elect: "weighted" | "unweighted"
}

/** The votes of each position. Weighted votes multiply the deltas by their weights and coefficients in place. */
export const votes = (
  kernels: Kernels,
  block: Block,
  task: Task<ElectParams>,
  deltas: ReadonlyArray<Float32Array>,
): Float32Array => {
  const { elect, weight } = task.params
  const sum = block.zeros()
  if (elect === "weighted") TaskVector.weigh(kernels, block, task, deltas)
  for (const [model, delta] of deltas.entries()) {
    if (elect === "weighted") kernels.scale(delta, at(weight, model))
    kernels.addScaled(sum, delta, 1)
  }
  return sum
}

/**
 * `out = base + λ Σ_agreeing w_t c_t δ_t`, divided by Σ_agreeing w_t with `normalize` (0 counts as 1).
 *
 * `zero` is the sign of a position whose votes sum to 0.
 */
export const elected = (
  kernels: Kernels,
  block: Block,
  task: Task<ElectParams>,
  deltas: ReadonlyArray<Float32Array>,
  zero: 1 | -1 = 1,
): void => {
  const { elect, lambda, normalize, weight } = task.params
  const sign = votes(kernels, block, task, deltas)
  if (elect === "unweighted") TaskVector.weigh(kernels, block, task, deltas)
  // The kernel elects + where the votes are 0; with all signs turned that is −.
  if (zero === -1) for (const values of [sign, ...deltas]) kernels.scale(values, -1)
  const divisor = block.zeros()
  for (const [model, delta] of deltas.entries()) {
    const factor = elect === "weighted" ? 1 : at(weight, model)
    kernels.addAgreeing(block.out, divisor, delta, sign, factor, at(weight, model))
  }
  if (normalize) kernels.divideNonzero(block.out, divisor)
  kernels.applyTo(block.out, block.base, zero * lambda)
}
