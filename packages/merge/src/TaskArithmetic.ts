/**
 * Task arithmetic: the base plus a multiple of the sum of task vectors (Ilharco et al. 2023), as one call of `merge`.
 *
 * Config and tokenizer of the result are the base's.
 */
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import type { Options } from "./Options.ts"
import * as Weights from "./units/Weights.ts"

/** Options of `taskArithmetic`. */
export interface TaskArithmeticParams extends Options {
  /** Finite; 0 gives the base, 1 with one expert of weight 1 the expert. */
  readonly lambda: number
  /** One finite weight per expert; all 1 by default. */
  readonly weights?: ReadonlyArray<number> | undefined
}

/**
 * W = W_0 + λ Σ_t w_t (W_t − W_0) for every tensor, written as a checkpoint into the new directory `directory`.
 *
 * At least one expert, all with the base's tensor names and shapes. Sums in f32 in the order of the experts, one
 * rounding to the base's dtype.
 */
export const taskArithmetic = Effect.fn("taskArithmetic")(function* (
  {
    base,
    experts: models,
  }: {
    readonly base: Checkpoint.Checkpoint
    readonly experts: ReadonlyArray<Checkpoint.Checkpoint>
  },
  { lambda, weights, ...options }: TaskArithmeticParams,
  directory: string,
) {
  const perModel = yield* Weights.perModel("taskArithmetic", "weights", weights, models.length)
  const parameters = { lambda: yield* Weights.finite("taskArithmetic", "lambda", lambda), normalize: false }
  const { merge } = yield* Effect.promise(() => import("./Merge.ts"))
  const params = { method: "task_arithmetic", perModel, parameters } as const
  return yield* merge({ base, models }, params, directory, { caller: "taskArithmetic", ...options })
})
