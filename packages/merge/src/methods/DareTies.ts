/**
 * DARE with TIES: drop at random and scale up, then elect a sign in each position and keep what agrees.
 *
 * Source: Yu et al. 2024 (arXiv 2311.03099), section 3.3, with Yadav et al. 2023, algorithm 1. Defaults: those of
 * `dare_linear`, so the sum of what agrees is not divided (`normalize: false`), as in mergekit 0.1.5.
 */
import type { Method } from "../engine/Method.ts"
import { type Definition, untyped } from "./Definition.ts"
import { make, parameters, type Params, type State } from "./RandomDrop.ts"
import * as Sum from "./Sum.ts"

export const method: Method<Params, State> = make("dare_ties", import.meta.url, Sum.elected)

export const definition: Definition = {
  parameters: parameters(true),
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  random: true,
  method: () => untyped(method),
}
