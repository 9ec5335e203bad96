/**
 * Linear: the weighted average of models.
 *
 *     W = Σ_i w_i W_i  (divided by Σ_i w_i with `normalize`)
 *
 * Source: "model soups", Wortsman et al. 2022 (arXiv 2203.05482), section 2. Defaults: normalize true; every model needs a weight.
 * The tool computes in `dtype`; here sums are in f32 and the result is rounded once.
 */
import { at } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"
import * as shared from "./shared.ts"

const parameters = { weight: shared.weight, normalize: shared.normalize(true) } as const

type Params = Definition.ParamsOf<typeof parameters>

const divisorOf = ({ normalize, weight }: Params): number =>
  normalize ? weight.reduce((sum, each) => sum + each, 0) : 1

export const method = elementwise<Params>({
  name: "linear",
  module: import.meta.url,
  combine: (kernels, { models, out }, { params }) => {
    for (const [model, values] of models.entries()) kernels.addScaled(out, values, at(params.weight, model))
    const divisor = divisorOf(params)
    if (divisor !== 1) kernels.divide(out, divisor)
  },
  sum: ({ params }) => ({ weights: params.weight, divisor: divisorOf(params) }),
})

export const definition = Definition.make({
  name: "linear",
  version: 1,
  summary: "averages models by their weights",
  sources: [{ text: "Wortsman et al. 2022", arxiv: "2203.05482", place: "section 2" }],
  parameters,
  base: "none",
  models: [1, Infinity],
  taskVectors: false,
  method: () => method,
  refuse: (values) => {
    const total = values.weight.reduce((sum, each) => sum + each, 0)
    return values.normalize && Math.abs(total) < 1e-8
      ? "the weights sum to zero and cannot be normalised; change them or set normalize: false"
      : undefined
  },
})
