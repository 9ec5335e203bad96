/**
 * Factored regression fusion: each linear layer goes where the losses of all models together rise least.
 *
 *     W* = argmin_W Σ_t tr(S_t (W − W_t) A_t (W − W_t)ᵀ) + ρ s |W − W_TA|²
 *     A_t = mean of x xᵀ over tokens, S_t = mean of g gᵀ, s = mean_t(mean diag A_t · mean diag S_t)
 *     W_TA = W_0 + λ Σ_t δ_t;   what is no linear layer: W_0 + λ_rest Σ_t δ_t
 *
 * Source: this project's; the Kronecker factors of the Gauss-Newton matrix are of Martens & Grosse 2015 (arXiv 1503.05671),
 * without S_t it is RegMean (Jin et al. 2023, arXiv 2212.09849) with a ridge towards task arithmetic. Solved by
 * conjugate gradients from W_TA, preconditioned by the diagonal; the residual after the last iteration is in the card. Defaults: rho 3, lambda 0.4,
 * lambda_rest 0.5, iterations 30, tolerance 1e-5. With rho 0 and one model the result is that model.
 *
 * Needs statistics of kind `kronecker` of each model, or of kind `gram`: then S_t = I, in closed form. The factors may be
 * full, by blocks (heads), or diagonal. With `embedding` (on by default) an embedding whose statistics are there is solved
 * row by row, (f_t(v) Se_t + s_t(v) Ah_t) in place of the Kronecker form, towards W_0 + λ_rest Σ δ_t.
 */
import { elementwise } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import * as shared from "./shared.ts"

const parameters = {
  rho: {
    level: "merge",
    kind: "number",
    default: 3,
    range: [0, Infinity],
    description: "strength of the ridge towards task arithmetic",
  },
  lambda: {
    ...shared.lambda,
    default: 0.4,
    description: "factor of the task vectors in that task arithmetic",
  },
  lambda_rest: {
    ...shared.lambda,
    default: 0.5,
    description: "factor of the task vectors in everything that is no linear layer",
  },
  iterations: {
    level: "merge",
    kind: "number",
    default: 30,
    range: [0, Infinity],
    description: "the most iterations of conjugate gradients",
  },
  tolerance: {
    level: "merge",
    kind: "number",
    default: 1e-5,
    range: [0, 1],
    description: "the relative residual at which the iterations end",
  },
  embedding: {
    level: "merge",
    kind: "boolean",
    default: true,
    description: "solve an embedding too, where the statistics have its factors",
  },
} as const

/** Task arithmetic with λ_rest, for tensors without statistics. */
export const method = elementwise<{ readonly lambda_rest: number }>({
  name: "factored",
  module: import.meta.url,
  combine: (kernels, block, { params }) => {
    for (const delta of TaskVector.all(kernels, block)) kernels.addScaled(block.out, delta, 1)
    kernels.applyTo(block.out, block.base, params.lambda_rest)
  },
})

export const definition = Definition.make({
  name: "factored",
  version: 1,
  summary: "solves each linear layer for where the losses of all models together rise least",
  sources: [
    { text: "this project's" },
    { text: "Martens & Grosse 2015", arxiv: "1503.05671", place: "the Kronecker factors" },
    { text: "Jin et al. 2023", arxiv: "2212.09849", place: "without output factors" },
  ],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: false,
  statistics: { kinds: ["kronecker", "gram"], of: "models", use: "equations" },
  method: () => method,
  embedding: ({ embedding }) => embedding,
})
