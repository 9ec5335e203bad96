/**
 * RegMean: for each linear layer the matrix that comes closest to what every model makes of its own inputs.
 *
 *     W* (Σ_t a_t G̃_t) = Σ_t a_t W_t G̃_t,   G̃_t = G_t with its off-diagonal elements times alpha
 *
 * Source: Jin et al. 2023 (arXiv 2212.09849), equation 2 and section 3.2. Defaults: weight (a_t) 1, alpha 0.9 (0.1 … 1, by
 * the model). G_t are means over tokens where the paper has sums, so data sets of any length count the same. Needs
 * statistics of kind `gram` (or `kronecker`, of which the inputs are used) of each model; tensors that have none (norms,
 * embeddings) are averaged. Solved tensor by tensor in double precision; where the sum of covariances is singular, a
 * millionth of its mean diagonal is added that draws towards the average. The residual is in the card.
 */
import { at } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: { ...shared.weight, default: 1 },
  alpha: {
    level: "merge",
    kind: "number",
    default: 0.9,
    range: [0, 1],
    description: "factor of the off-diagonal elements of the covariances",
  },
} as const

/** The average, for tensors without statistics. */
export const method = elementwise<{ readonly weight: ReadonlyArray<number> }>({
  name: "regmean",
  module: import.meta.url,
  combine: (kernels, { models, out }, { params: { weight } }) => {
    for (const [model, values] of models.entries()) kernels.addScaled(out, values, at(weight, model))
    const total = weight.reduce((sum, each) => sum + each, 0)
    if (total !== 1) kernels.divide(out, total)
  },
})

export const definition = Definition.make({
  name: "regmean",
  version: 1,
  summary: "solves each linear layer for what comes closest to every model's own outputs",
  sources: [{ text: "Jin et al. 2023", arxiv: "2212.09849", place: "equation 2" }],
  parameters,
  base: "none",
  models: [1, Infinity],
  taskVectors: false,
  statistics: { kinds: ["gram", "kronecker"], of: "models", use: "equations" },
  method: () => method,
  refuse: (values) => (values.weight.every((weight) => weight > 0) ? undefined : "weights must be above 0"),
})
