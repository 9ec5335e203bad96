/**
 * Adaptive fusion: the base plus every expert's pruned task vector, weighted unit by unit, as one call of `merge`.
 *
 * Where a unit matters to one expert more than to the others, that expert has the larger share there. With equal
 * shares and full masks this is task arithmetic, bit for bit.
 */
import { atOr, entryOr } from "@hila/core/Lookup"
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "./MergeError.ts"
import type { Options } from "./Options.ts"
import type { Mask } from "./units/Mask.ts"
import * as UnitFilters from "./plan/UnitFilters.ts"
import type { Residual } from "./units/UnitCoefficients.ts"
import type { UnitWeights } from "./units/UnitWeights.ts"
import * as Weights from "./units/Weights.ts"

/** Options of `fuse`. */
export interface FuseParams extends Options {
  /** Finite; 0 gives the base. With shares of 1/K it is the λ of task arithmetic. */
  readonly lambda: number
  /** `"mean"` by default. */
  readonly residual?: Residual | undefined
  /** Further factors of λ by unit id, `{ "layers.0.mlp": 0.5 }`; 1 where a unit is not named. */
  readonly unitLambda?: Readonly<Record<string, number>> | undefined
  /**
   * Inside units only what agrees in sign with Σ_t w_t δ_t is added up (TIES, Yadav et al. 2023); false by default. A sum
   * of 0 counts as positive.
   */
  readonly signElection?: boolean | undefined
}

/**
 * W_u = W_{0,u} + λ Σ_t K w_{t,u} (m_{t,u} ⊙ (W_{t,u} − W_{0,u})) for every unit u, written as a checkpoint into the new
 * directory `directory`; `residual` says what the tensors outside the units get.
 *
 * K experts in the order of `weights`; one mask per expert, or none at all for unpruned task vectors. Sums in f32 in
 * the order of the experts, one rounding to the base's dtype. Config and tokenizer are the base's.
 */
export const fuse = Effect.fn("fuse")(function* (
  {
    base,
    experts: models,
    masks,
    weights,
  }: {
    readonly base: Checkpoint.Checkpoint
    readonly experts: ReadonlyArray<Checkpoint.Checkpoint>
    readonly masks: ReadonlyArray<Mask>
    readonly weights: UnitWeights
  },
  params: FuseParams,
  directory: string,
) {
  const { lambda, residual, signElection = false, unitLambda = {}, ...options } = params
  const parameters = { lambda: yield* Weights.finite("fuse", "lambda", lambda), normalize: false }
  const unitWeights = [yield* scaled(weights, unitLambda)]
  const methods = signElection ? yield* agreeing(base, weights) : undefined
  const { merge } = yield* Effect.promise(() => import("./Merge.ts"))
  return yield* merge(
    { base, models, masks, unitWeights },
    { method: "task_arithmetic", parameters, residual, methods },
    directory,
    { caller: "fuse", ...options },
  )
})

/** The same sum, inside units, of what agrees in sign with it: TIES of whole task vectors. */
const agreeing = Effect.fnUntraced(function* (base: Checkpoint.Checkpoint, { scheme }: UnitWeights) {
  const parameters = { density: 1, rescale: "none", elect: "weighted", zero_vote: "positive" }
  const filters = yield* UnitFilters.of(base, scheme)
  return filters.map((filter) => ({ filter, merge_method: "ties" as const, parameters }))
})

/** The weights times the factors of their units; fails at a unit that is not there. */
const scaled = Effect.fnUntraced(function* (weights: UnitWeights, factors: Readonly<Record<string, number>>) {
  const known = new Set(weights.rows.map(({ unit }) => unit))
  for (const [unit, factor] of Object.entries(factors)) {
    yield* Weights.finite("fuse", `unitLambda ${unit}`, factor)
    if (known.has(unit)) continue
    const problem = `there is no unit ${unit}; a unit is called, for example, ${atOr(weights.rows, 0, { unit: "none" }).unit}`
    return yield* new MergeError({ method: "fuse", input: "unitLambda", problem })
  }
  return {
    ...weights,
    rows: weights.rows.map((row) => ({
      ...row,
      weights: row.weights.map((weight) => weight * entryOr(factors, row.unit, 1)),
    })),
  }
})
