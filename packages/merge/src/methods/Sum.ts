/**
 * How task vectors become one: their weighted sum, or the weighted mean of those that agree in sign.
 *
 * Sign election (TIES, Yadav et al. 2023, algorithm 1, "elect" and "disjoint merge"): in each position the sign of the
 * sum wins, and only values of that sign are averaged. The existing tool lets the weights multiply before the vote,
 * and counts a vote of 0 as positive; the paper votes without weights and gives a vote of 0 the sign of the majority.
 */
import type { Block } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"

/** What the sum of task vectors takes. */
export interface SumParams {
  readonly weight: ReadonlyArray<number>
  readonly lambda: number
  readonly normalize: boolean
}

/** `out = base + λ Σ_t w_t δ_t`, divided by Σ w_t with `normalize` (a sum below 1e-8 counts as 1). */
export const weighted = (
  kernels: Kernels,
  block: Block,
  deltas: ReadonlyArray<Float32Array>,
  { lambda, normalize, weight }: SumParams,
): void => {
  for (const [model, delta] of deltas.entries()) kernels.addScaled(block.out, delta, weight[model]!)
  if (normalize) {
    const total = weight.reduce((sum, each) => sum + each, 0)
    if (Math.abs(total) >= 1e-8) kernels.divide(block.out, total)
  }
  kernels.applyTo(block.out, block.base, lambda)
}

/** What sign election takes besides. */
export interface ElectParams extends SumParams {
  readonly elect: "weighted" | "unweighted"
}

/** The votes of each position. Weighted votes multiply the deltas by their weights in place. */
export const votes = (
  kernels: Kernels,
  block: Block,
  deltas: ReadonlyArray<Float32Array>,
  { elect, weight }: ElectParams,
): Float32Array => {
  const sum = block.zeros()
  for (const [model, delta] of deltas.entries()) {
    if (elect === "weighted") kernels.scale(delta, weight[model]!)
    kernels.addScaled(sum, delta, 1)
  }
  return sum
}

/**
 * `out = base + λ Σ_agreeing w_t δ_t`, divided by Σ_agreeing w_t with `normalize` (0 counts as 1).
 *
 * `zero` is the sign of a position whose votes sum to 0.
 */
export const elected = (
  kernels: Kernels,
  block: Block,
  deltas: ReadonlyArray<Float32Array>,
  params: ElectParams,
  zero: 1 | -1 = 1,
): void => {
  const { elect, lambda, normalize, weight } = params
  const sign = votes(kernels, block, deltas, params)
  // The kernel elects + where the votes are 0; with all signs turned that is −.
  if (zero === -1) for (const values of [sign, ...deltas]) kernels.scale(values, -1)
  const divisor = block.zeros()
  for (const [model, delta] of deltas.entries()) {
    const factor = elect === "weighted" ? 1 : weight[model]!
    kernels.addAgreeing(block.out, divisor, delta, sign, factor, weight[model]!)
  }
  if (normalize) kernels.divideNonzero(block.out, divisor)
  kernels.applyTo(block.out, block.base, zero * lambda)
}
