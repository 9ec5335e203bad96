/**
 * RAM: elements that one model changed are taken over, those that several changed are averaged.
 *
 *     a_t = [|δ_t| > ε],   W = W_0 + Σ_t a_t δ_t / max(Σ_t a_t, 1)
 *
 * Source: arXiv 2601.13572. Default: epsilon 1e-5, an absolute difference.
 */
import { known } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import { epsilon, isActive } from "./Active.ts"

const parameters = { epsilon } as const

type Params = Definition.ParamsOf<typeof parameters>

export const method = elementwise<Params>({
  name: "ram",
  module: import.meta.url,
  combine: (kernels, block, task) => {
    const deltas = TaskVector.all(kernels, block)
    const { base, out } = block
    const least = Math.fround(task.params.epsilon)
    const counts = block.temporary()
    for (let i = 0; i < out.length; i++) {
      let active = 0
      for (const delta of deltas) {
        if (isActive(known(delta[i]), least)) active += 1
        else delta[i] = 0
      }
      counts[i] = Math.max(active, 1)
    }
    for (const delta of TaskVector.weigh(kernels, block, task, deltas)) kernels.addScaled(out, delta, 1)
    kernels.divideNonzero(out, counts)
    kernels.applyTo(out, base, 1)
  },
})

export const definition = Definition.make({
  name: "ram",
  version: 1,
  summary: "takes over what one model changed, and averages what several changed",
  sources: [{ text: "RAM", arxiv: "2601.13572" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
