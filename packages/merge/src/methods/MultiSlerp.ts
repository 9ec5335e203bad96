/**
 * MultiSlerp: barycentric interpolation of several models on the sphere, each tensor as one vector.
 *
 *     u_i = V_i / ‖V_i‖,   m = Σ w_i u_i / ‖Σ w_i u_i‖,   W = exp_m(Σ w_i log°_m(u_i)) · Σ w_i ‖V_i‖
 *
 * Source: mergekit 0.1.5's method of that name. Its tangent is log°_m(u) = u − ⟨u, m⟩ m; at the normalised mean these
 * sum to zero, so exp_m is m itself and W = m · Σ w_i ‖V_i‖. With a base, V_i are task vectors and W_0 is added.
 * Defaults: normalize_weights true, eps 1e-8. Where the unit vectors cancel, the weighted mean of the V_i is taken.
 */
import { at } from "@hila/core/Lookup"
import * as Combination from "./Combination.ts"
import * as Definition from "./Definition.ts"
import * as Gram from "./Gram.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: shared.weight,
  normalize_weights: {
    level: "merge",
    kind: "boolean",
    default: true,
    description: "divide the weights by their sum",
  },
  eps: {
    level: "merge",
    kind: "number",
    default: 1e-8,
    range: [0, 1],
    description: "length below which a vector counts as zero",
  },
} as const

type Params = Definition.ParamsOf<typeof parameters>

export const method = Combination.make<Params>("multislerp", import.meta.url, (gram, { params }) => {
  const total = params.normalize_weights ? params.weight.reduce((sum, weight) => sum + weight, 0) : 1
  const weights = params.weight.map((weight) => weight / total)
  const norms = Gram.norms(gram)
  const mean = weights.map((weight, i) => weight / (at(norms, i) + params.eps))
  const length = Math.sqrt(Math.max(0, Gram.inner(gram, mean, mean)))
  if (length < params.eps) return weights
  const scale = weights.reduce((sum, weight, i) => sum + weight * at(norms, i), 0)
  return mean.map((coefficient) => (coefficient / length) * scale)
})

export const definition = Definition.make({
  name: "multislerp",
  version: 1,
  summary: "interpolates on the sphere between several models, or between their task vectors",
  sources: [{ text: "mergekit 0.1.5" }],
  parameters,
  base: "optional",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
  refuse: (values) =>
    values.normalize_weights && Math.abs(values.weight.reduce((sum, weight) => sum + weight, 0)) < 1e-8
      ? "the weights sum to zero and cannot be normalised; change them or set normalize_weights: false"
      : undefined,
})
