/**
 * SCE: select the elements that vary most between the models, calculate a weight per model, erase the minority.
 *
 *     select    : the k = ⌊nnz(v) · select_topk⌋ positions with the largest v = var_t δ_t
 *     calculate : w_t = mean(δ_t²) / Σ_s mean(δ_s²) over what is selected
 *     erase     : m_t = [sign δ_t = sign Σ_s δ_s],   W = W_0 + Σ_t m_t w_t δ_t / max(Σ_t m_t w_t, 1e-6)
 *
 * Source: Wan et al. 2024 (FuseChat, arXiv 2408.07990), section 3.3. Default: select_topk 1, which selects everything.
 */
import { at, known } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Definition from "./Definition.ts"
import * as Largest from "./Largest.ts"
import * as shared from "./shared.ts"

const parameters = {
  select_topk: {
    level: "merge",
    kind: "number",
    default: 1,
    range: [0, 1],
    description: "share of the positions with nonzero variance that take part",
  },
  int8_mask: shared.int8Mask,
} as const

type Params = Definition.ParamsOf<typeof parameters>

interface State extends Largest.State {
  readonly weights: ReadonlyArray<number>
}

/** The variance of the deltas in each position, times the number of models. */
const variance = (kernels: Kernels, block: Block, deltas: ReadonlyArray<Float32Array>): Float32Array => {
  const mean = block.zeros()
  for (const delta of deltas) kernels.addScaled(mean, delta, 1)
  kernels.divide(mean, deltas.length)
  const sum = block.zeros()
  for (const delta of deltas) kernels.addSquaredDifference(sum, delta, mean)
  return sum
}

const selects = ({ params }: Task<Params>) => params.select_topk < 1

/** The deltas, 0 where nothing is selected. */
const selected = (kernels: Kernels, block: Block, task: Task<Params>, state: State, carry: Largest.Carry) => {
  const deltas = TaskVector.all(kernels, block)
  if (!selects(task)) return deltas
  const kept = variance(kernels, block, deltas)
  Largest.keep(kernels, kept, state, carry, 0)
  for (const delta of deltas) kernels.keepWhere(delta, kept)
  return deltas
}

export const method: Method<Params, State, Largest.Carry> = {
  name: "sce",
  module: import.meta.url,
  start: () => ({ ...Largest.start, weights: [] }),
  passes: (task) => [
    ...(selects(task)
      ? Largest.passes<Params, State>({
          streams: 1,
          each: 1,
          countNonzero: true,
          values: (kernels, block) => [variance(kernels, block, TaskVector.all(kernels, block))],
          keep: ({ params }, [nonzero]) => [[Math.floor(known(nonzero) * params.select_topk)]],
        })
      : []),
    {
      sums: task.models,
      reduce: (kernels, block, of, state, { sums }, carry) => {
        for (const [model, delta] of selected(kernels, block, of, state, carry).entries())
          sums[model] = at(sums, model) + kernels.dot(delta, delta)
      },
      close: (_, { sums }, state) => {
        const total = sums.reduce((sum, each) => sum + each, 0)
        return { ...state, weights: [...sums].map((sum) => (total === 0 ? 0 : sum / total)) }
      },
    },
  ],
  carry: Largest.carry,
  combine: (kernels, block, task, state, carry) => {
    const deltas = selected(kernels, block, task, state, carry)
    const votes = block.zeros()
    for (const delta of deltas) kernels.addScaled(votes, delta, 1)
    TaskVector.weigh(kernels, block, task, deltas)
    const divisor = block.zeros()
    for (const [model, delta] of deltas.entries()) {
      const weight = at(state.weights, model)
      kernels.addAgreeing(block.out, divisor, delta, votes, weight, weight)
    }
    kernels.divideFloored(block.out, divisor, 1e-6)
    kernels.applyTo(block.out, block.base, 1)
  },
}

export const definition = Definition.make({
  name: "sce",
  version: 1,
  summary:
    "takes the elements that vary most between models, weighs the models by them, and drops minority signs",
  sources: [{ text: "Wan et al. 2024", arxiv: "2408.07990", place: "section 3.3" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
