/**
 * RAM+ (tensor level): as RAM, but what a model alone changed is scaled up by how much of its change is shared.
 *
 *     λ_t = 1 + r · min(shared_t / unique_t, α),  counted in each tensor;   δ_t counts λ_t-fold where only t changed
 *
 * Source: arXiv 2601.13572. Defaults: r 0.1, alpha 0.2, epsilon 1e-5. A model that changed nothing alone has λ_t = 1 + r α
 * where it shares something and 1 where it does not.
 */
import { at, known } from "@hila/core/Lookup"
import type { Method } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import { epsilon, isActive } from "./Active.ts"

const parameters = {
  r: { level: "merge", kind: "number", default: 0.1, description: "strength of the scaling" },
  alpha: {
    level: "merge",
    kind: "number",
    default: 0.2,
    range: [0, Infinity],
    description: "greatest ratio of shared to unique changes that counts",
  },
  epsilon,
} as const

type Params = Definition.ParamsOf<typeof parameters>

export const method: Method<Params, ReadonlyArray<number>> = {
  name: "ramplus_tl",
  module: import.meta.url,
  start: () => [],
  passes: ({ models, params }) => [
    {
      counts: 2 * models,
      reduce: (kernels, block, task, _, { counts }) => {
        const deltas = TaskVector.all(kernels, block)
        const least = Math.fround(params.epsilon)
        for (let i = 0; i < block.out.length; i++) {
          let active = 0
          for (const delta of deltas) if (isActive(known(delta[i]), least)) active += 1
          for (const [model, delta] of deltas.entries()) {
            if (!isActive(known(delta[i]), least)) continue
            const at = 2 * model + (active > 1 ? 0 : 1)
            counts[at] = known(counts[at]) + 1
          }
        }
      },
      close: (_, { counts }) =>
        Array.from({ length: models }, (__, model) => {
          const [common, alone] = [at(counts, 2 * model), at(counts, 2 * model + 1)]
          const ratio = common === 0 ? 0 : common / alone
          return Math.fround(1 + params.r * Math.min(Math.max(ratio, 0), params.alpha))
        }),
    },
  ],
  carry: () => undefined,
  combine: (kernels, block, task, factors) => {
    const deltas = TaskVector.all(kernels, block)
    const { base, out } = block
    const least = Math.fround(task.params.epsilon)
    const counts = block.temporary()
    for (let i = 0; i < out.length; i++) {
      let [active, last] = [0, 0]
      for (const [model, delta] of deltas.entries()) {
        if (isActive(known(delta[i]), least)) [active, last] = [active + 1, model]
        else delta[i] = 0
      }
      if (active === 1) known(deltas[last])[i] = known(factors[last]) * known(known(deltas[last])[i])
      counts[i] = Math.max(active, 1)
    }
    for (const delta of TaskVector.weigh(kernels, block, task, deltas)) kernels.addScaled(out, delta, 1)
    kernels.divideNonzero(out, counts)
    kernels.applyTo(out, base, 1)
  },
}

export const definition = Definition.make({
  name: "ramplus_tl",
  version: 1,
  summary: "does as ram, and scales up what a model alone changed",
  sources: [{ text: "RAM", arxiv: "2601.13572" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
