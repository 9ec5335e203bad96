/**
 * Consensus task arithmetic: the sum of task vectors where enough of the tasks rely on it.
 *
 *     δ = Σ_t w_t δ_t,   m_t = [|δ_t| > threshold_t · |δ − δ_t|],   W = W_0 + λ · [Σ_t m_t ≥ k] ⊙ δ
 *
 * Source: Wang et al. 2024 (arXiv 2405.07813), sections 4.1 and 4.3 (TALL masks and consensus merging). Defaults: weight 1,
 * threshold 0.4 (the paper chooses 0.2 … 0.6 per task by validation), k 2, λ 1. With k 0 it is task arithmetic.
 */
import { at, known } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: { ...shared.weight, default: 1 },
  threshold: {
    level: "model",
    kind: "number",
    default: 0.4,
    range: [0, Infinity],
    description: "how far a task's own change must exceed the others' for it to rely on an element",
  },
  k: {
    level: "merge",
    kind: "number",
    default: 2,
    range: [0, Infinity],
    description: "how many tasks must rely on an element",
  },
  lambda: shared.lambda,
} as const

type Params = Definition.ParamsOf<typeof parameters>

export const method = elementwise<Params>({
  name: "consensus_ta",
  module: import.meta.url,
  combine: (kernels, block, task) => {
    const { k, lambda, threshold, weight } = task.params
    const deltas = TaskVector.all(kernels, block)
    const parts: Array<Float32Array> = []
    for (const [model, delta] of deltas.entries()) {
      const weighed = block.zeros()
      kernels.addScaled(weighed, delta, at(weight, model))
      parts.push(weighed)
    }
    for (const part of TaskVector.weigh(kernels, block, task, parts)) kernels.addScaled(block.out, part, 1)
    for (let i = 0; i < block.out.length; i++) {
      const sum = known(block.out[i])
      let relying = 0
      for (const [model, delta] of deltas.entries()) {
        if (
          Math.abs(known(delta[i])) >
          known(threshold[model]) * Math.abs(Math.fround(sum - known(delta[i])))
        )
          relying += 1
      }
      if (relying < k) block.out[i] = 0
    }
    kernels.applyTo(block.out, block.base, lambda)
  },
})

export const definition = Definition.make({
  name: "consensus_ta",
  version: 1,
  summary: "keeps the sum of task vectors where enough tasks rely on it",
  sources: [{ text: "Wang et al. 2024", arxiv: "2405.07813", place: "sections 4.1 and 4.3" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
