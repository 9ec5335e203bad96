/**
 * Linear: the weighted average of models ("model soups", Wortsman et al. 2022).
 *
 * It needs no base. Config and tokenizer of the result are the first model's.
 */
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Coefficients from "./units/Coefficients.ts"
import * as Engine from "./engine/Engine.ts"
import { MergeError } from "./MergeError.ts"
import * as Arithmetic from "./methods/Linear.ts"
import { untyped } from "./methods/Definition.ts"
import * as TrainedOn from "./output/TrainedOn.ts"
import * as Preflight from "./Preflight.ts"

/** Options of `linear`. */
export interface LinearParams {
  /** One finite weight per model; all 1 by default. */
  readonly weights?: ReadonlyArray<number> | undefined
  /** Divide by the sum of the weights; true by default. */
  readonly normalize?: boolean | undefined
  /** Scalars per chunk and model; the result does not depend on it. */
  readonly chunk?: number | undefined
}

const method = "linear"

/**
 * W = Σ_i w_i W_i / Σ_i w_i for every tensor, written as a checkpoint into the new directory `directory`.
 *
 * At least one model, all with the same tensor names and shapes. Sums in f32, one rounding to the first model's dtype.
 */
export const linear = Effect.fn("linear")(function* (
  inputs: { readonly models: ReadonlyArray<Checkpoint.Checkpoint> },
  params: LinearParams,
  directory: string,
) {
  const [first, ...others] = inputs.models
  if (first === undefined) {
    return yield* new MergeError({ method, input: "models", problem: "expected at least one, got none" })
  }
  const weights = yield* Coefficients.perModel(method, "weights", params.weights, inputs.models.length)
  const total = params.normalize === false ? 1 : weights.reduce((sum, weight) => sum + weight, 0)
  if (Math.abs(total) < 1e-8) {
    const problem = "sum to zero and cannot be normalised; change them or set normalize to false"
    return yield* new MergeError({ method, input: "weights", problem })
  }
  const plan = yield* Preflight.plan(method, [
    { role: "model 1", checkpoint: first },
    ...others.map((checkpoint, index) => ({ role: `model ${index + 2}`, checkpoint })),
  ])
  const normalize = params.normalize !== false
  return yield* Engine.write(directory, {
    method,
    ...(yield* TrainedOn.carried(method, first, inputs.models)),
    chunk: params.chunk,
    tensors: plan.map(({ info: { dtype, name, shape }, inputs: models }) => ({
      name,
      dtype,
      shape,
      method: untyped(Arithmetic.method),
      params: { weight: weights, normalize },
      models,
    })),
  })
})
