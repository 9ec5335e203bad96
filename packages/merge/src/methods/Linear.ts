/**
 * Linear: the weighted average of models.
 *
 *     W = Σ_i w_i W_i  (divided by Σ_i w_i with `normalize`)
 *
 * Source: "model soups", Wortsman et al. 2022, section 2. Defaults: normalize true; every model needs a weight.
 * The tool computes in `dtype`; here sums are in f32 and the result is rounded once.
 */
import { at } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import { type Definition, numbers, untyped } from "./Definition.ts"
import * as shared from "./parameters.ts"

interface Params {
  readonly weight: ReadonlyArray<number>
  readonly normalize: boolean
}

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

export const definition: Definition = {
  parameters: { weight: shared.weight, normalize: shared.normalize(true) },
  base: "none",
  models: [1, Infinity],
  taskVectors: false,
  method: () => untyped(method),
  refuse: (values) => {
    const total = numbers(values, "weight").reduce((sum, each) => sum + each, 0)
    return values["normalize"] === true && Math.abs(total) < 1e-8
      ? "the weights sum to zero and cannot be normalised; change them or set normalize: false"
      : undefined
  },
}
