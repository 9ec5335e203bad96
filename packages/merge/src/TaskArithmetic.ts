/**
 * Task arithmetic: the base plus a multiple of the sum of task vectors (Ilharco et al. 2023).
 *
 * Config and tokenizer of the result are the base's.
 */
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Coefficients from "./units/Coefficients.ts"
import * as Engine from "./engine/Engine.ts"
import { MergeError } from "./MergeError.ts"
import * as TrainedOn from "./output/TrainedOn.ts"
import * as Preflight from "./Preflight.ts"
import * as TaskVectors from "./TaskVectors.ts"

/** Options of `taskArithmetic`. */
export interface TaskArithmeticParams {
  /** Finite; 0 gives the base, 1 with one expert of weight 1 the expert. */
  readonly lambda: number
  /** One finite weight per expert; all 1 by default. */
  readonly weights?: ReadonlyArray<number> | undefined
  /** Scalars per chunk and model; the result does not depend on it. */
  readonly chunk?: number | undefined
}

const method = "taskArithmetic"

/**
 * W = W_0 + λ Σ_t w_t (W_t − W_0) for every tensor, written as a checkpoint into the new directory `directory`.
 *
 * At least one expert, all with the base's tensor names and shapes. Sums in f32 in the order of the experts, one
 * rounding to the base's dtype.
 */
export const taskArithmetic = Effect.fn("taskArithmetic")(function* (
  inputs: { readonly base: Checkpoint.Checkpoint; readonly experts: ReadonlyArray<Checkpoint.Checkpoint> },
  params: TaskArithmeticParams,
  directory: string,
) {
  const { base, experts } = inputs
  const lambda = yield* Coefficients.finite(method, "lambda", params.lambda)
  const weights = yield* Coefficients.perModel(method, "weights", params.weights, experts.length)
  if (experts.length === 0) {
    return yield* new MergeError({ method, input: "experts", problem: "expected at least one, got none" })
  }
  const plan = yield* Preflight.plan(method, Preflight.baseAndExperts(base, experts))
  return yield* Engine.write(directory, {
    method,
    ...(yield* TrainedOn.carried(method, base, [base, ...experts])),
    chunk: params.chunk,
    tensors: plan.map((tensor) => TaskVectors.sum(tensor, weights, lambda)),
  })
})
