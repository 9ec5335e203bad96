/**
 * DARE: drop elements of each task vector at random, scale up the rest, and add up what is left.
 *
 *     δ̂_t = (δ_t ⊙ Bernoulli(density)) · r,   W = W_0 + λ Σ_t w_t δ̂_t
 *
 * Source: Yu et al. 2024 (arXiv 2311.03099), section 3.2. Defaults: density 1, normalize false, λ 1, rescale on.
 * Mergekit 0.1.5 chooses r so that the L1 norm of the tensor stays (`rescale: l1`); the paper's r is 1/density
 * (`rescale: probability`), which is unbiased element by element. `dare_ties` elects signs as TIES does.
 */
import type { Method } from "../engine/Method.ts"
import { type Definition, untyped } from "./Definition.ts"
import { make, parameters, type Params, type State } from "./RandomDrop.ts"
import * as Sum from "./Sum.ts"

export const method: Method<Params, State> = make("dare_linear", import.meta.url, Sum.weighted)

export const definition: Definition = {
  parameters: parameters(false),
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  random: true,
  method: () => untyped(method),
}
