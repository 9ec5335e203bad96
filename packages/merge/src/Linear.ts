/**
 * Linear: the weighted average of models ("model soups", Wortsman et al. 2022), as one call of `merge`.
 *
 * It needs no base. Config and tokenizer of the result are the first model's.
 */
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import type { Options } from "./Options.ts"
import * as Weights from "./units/Weights.ts"

/** Options of `linear`. */
export interface LinearParams extends Options {
  /** One finite weight per model; all 1 by default. */
  readonly weights?: ReadonlyArray<number> | undefined
  /** Divide by the sum of the weights; true by default. */
  readonly normalize?: boolean | undefined
}

/**
 * W = Σ_i w_i W_i / Σ_i w_i for every tensor, written as a checkpoint into the new directory `directory`.
 *
 * At least one model, all with the same tensor names and shapes. Sums in f32, one rounding to the first model's dtype.
 */
export const linear = Effect.fn("linear")(function* (
  inputs: { readonly models: ReadonlyArray<Checkpoint.Checkpoint> },
  { normalize = true, weights, ...options }: LinearParams,
  directory: string,
) {
  const perModel = yield* Weights.perModel("linear", "weights", weights, inputs.models.length)
  const { merge } = yield* Effect.promise(() => import("./Merge.ts"))
  return yield* merge(inputs, { method: "linear", perModel, parameters: { normalize } }, directory, options)
})
