/**
 * LED: locate the elements that matter to a task and to the base, elect those that both rely on, keep tasks disjoint.
 *
 *     locate    : I(θ) = |θ ⊙ ∂loss/∂θ|, of each expert and of the base (statistics of kind `saliency`)
 *     elect     : N_t = top rate_t of I(θ_t) ∩ top rate_t of I(θ_0), in each tensor
 *     disjoint  : N_t minus the N_s of all other experts,   W = W_0 + λ Σ_t w_t [N_t] ⊙ δ_t
 *
 * Source: Ma et al. 2025 (arXiv 2502.16770), section 3, with the pattern "11" of the authors' code. Defaults: rate 0.5 (the
 * paper's examples: 0.1 safety, 0.4 math, 0.5 code), weight 1, λ 0.9. An element of saliency 0 is never elected.
 */
import { at, known } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import * as Largest from "./Largest.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: { ...shared.weight, default: 1 },
  rate: {
    level: "model",
    kind: "number",
    default: 0.5,
    range: [0, 1],
    description: "share of each tensor's elements that count as salient, in the expert and in the base",
  },
  lambda: { ...shared.lambda, default: 0.9 },
} as const

type Params = Definition.ParamsOf<typeof parameters>

/** The saliencies as streams: one per expert, and the base's once more for each of their rates. */
const streams = ({ extras, models }: Block): ReadonlyArray<Float32Array> => [
  ...models.map((_, model) => at(extras, model)),
  ...models.map(() => at(extras, models.length)),
]

export const method: Method<Params, Largest.State, Largest.Carry> = {
  name: "led",
  module: import.meta.url,
  start: () => Largest.start,
  passes: ({ models }) =>
    Largest.passes<Params, Largest.State>({
      streams: 2 * models,
      each: 1,
      values: (_, block) => streams(block),
      keep: ({ elements, params }) =>
        [...params.rate, ...params.rate].map((rate) => [Math.floor(rate * elements)]),
    }),
  carry: Largest.carry,
  combine: (kernels, block, task: Task<Params>, state, carry) => {
    const { out } = block
    const deltas = TaskVector.all(kernels, block)
    const elected = streams(block).map((values, stream) => {
      const kept = block.temporary()
      kept.set(values)
      Largest.keep(kernels, kept, state, carry, stream)
      return kept
    })
    const models = deltas.length
    for (let i = 0; i < out.length; i++) {
      let [claims, owner] = [0, 0]
      for (let t = 0; t < models; t++) {
        if (known(elected[t])[i] !== 0 && known(elected[models + t])[i] !== 0)
          [claims, owner] = [claims + 1, t]
      }
      for (const [t, delta] of deltas.entries()) if (claims !== 1 || owner !== t) delta[i] = 0
    }
    TaskVector.weigh(kernels, block, task, deltas)
    for (const [model, delta] of deltas.entries())
      kernels.addScaled(out, delta, at(task.params.weight, model))
    kernels.applyTo(out, block.base, task.params.lambda)
  },
}

export const definition = Definition.make({
  name: "led",
  version: 1,
  summary: "elects the elements that matter to an expert and to the base, and keeps experts disjoint",
  sources: [{ text: "Ma et al. 2025", arxiv: "2502.16770", place: "section 3" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  statistics: { kinds: ["saliency"], of: "both", use: "elements" },
  method: () => method,
})
