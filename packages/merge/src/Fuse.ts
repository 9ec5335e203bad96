/**
 * Adaptive fusion: the base plus every expert's pruned task vector, weighted unit by unit.
 *
 * Where a unit matters to one expert more than to the others, that expert has the larger share there. With equal
 * shares and full masks this is task arithmetic, bit for bit.
 */
import { atOr, entryOr } from "@hila/core/Lookup"
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Coefficients from "./units/Coefficients.ts"
import * as Engine from "./engine/Engine.ts"
import type { Mask } from "./units/Mask.ts"
import { MergeError } from "./MergeError.ts"
import * as TrainedOn from "./output/TrainedOn.ts"
import * as Preflight from "./Preflight.ts"
import * as TaskVectors from "./TaskVectors.ts"
import * as UnitCheck from "./units/UnitCheck.ts"
import * as UnitCoefficients from "./units/UnitCoefficients.ts"
import type { UnitWeights } from "./units/UnitWeights.ts"

/** Options of `fuse`. */
export interface FuseParams {
  /** Finite; 0 gives the base. With shares of 1/K it is the λ of task arithmetic. */
  readonly lambda: number
  /** `"mean"` by default. */
  readonly residual?: UnitCoefficients.Residual | undefined
  /** Further factors of λ by unit id, `{ "layers.0.mlp": 0.5 }`; 1 where a unit is not named. */
  readonly unitLambda?: Readonly<Record<string, number>> | undefined
  /**
   * Inside units only what agrees in sign with Σ_t w_t δ_t is added up (TIES, Yadav et al. 2023); false by default. A sum
   * of 0 counts as positive.
   */
  readonly signElection?: boolean | undefined
  /** Scalars per chunk and model; the result does not depend on it. */
  readonly chunk?: number | undefined
}

const method = "fuse"

/**
 * W_u = W_{0,u} + λ Σ_t K w_{t,u} (m_{t,u} ⊙ (W_{t,u} − W_{0,u})) for every unit u, written as a checkpoint into the new
 * directory `directory`; `residual` says what the tensors outside the units get.
 *
 * K experts in the order of `weights`; one mask per expert, or none at all for unpruned task vectors. Sums in f32 in
 * the order of the experts, one rounding to the base's dtype. Config and tokenizer are the base's.
 */
export const fuse = Effect.fn("fuse")(function* (
  inputs: {
    readonly base: Checkpoint.Checkpoint
    readonly experts: ReadonlyArray<Checkpoint.Checkpoint>
    readonly masks: ReadonlyArray<Mask>
    readonly weights: UnitWeights
  },
  params: FuseParams,
  directory: string,
) {
  const { base, experts, masks, weights } = inputs
  const lambda = yield* Coefficients.finite(method, "lambda", params.lambda)
  yield* checkCounts(experts.length, masks.length, weights)
  const participants = Preflight.baseAndExperts(base, experts)
  const plan = yield* Preflight.plan(method, participants)
  const { units } = yield* UnitCheck.partition(method, weights.scheme, participants)
  const scheme = { expected: weights.scheme, got: weights.scheme }
  yield* UnitCheck.matches(method, "weights", scheme, weights.rows, units)
  const infos = plan.map(({ info }) => info)
  for (const [expert, mask] of masks.entries())
    yield* UnitCoefficients.checkMask(method, `mask ${expert + 1}`, mask, weights.scheme, units, infos)

  const residual = params.residual ?? "mean"
  const spansOf = yield* UnitCoefficients.spansOf(
    base,
    units,
    yield* scaled(weights, params.unitLambda ?? {}),
    residual,
  )
  const scales = UnitCoefficients.scalesOf(masks, () => units)
  const evenly = experts.map(() => 1)
  return yield* Engine.write(directory, {
    method,
    ...(yield* TrainedOn.carried(method, base, [base, ...experts])),
    chunk: params.chunk,
    tensors: plan.map((tensor) => {
      const { name, shape } = tensor.info
      const inside = units.some(({ slices }) => slices.some((slice) => slice.tensor === name))
      const sum = params.signElection === true && inside ? TaskVectors.agreeing : TaskVectors.sum
      return sum(tensor, evenly, lambda, {
        masks: masks.map((mask) => mask.tensors.get(name)),
        units: [...spansOf(name, shape), ...scales(name, shape)],
      })
    }),
  })
})

const checkCounts = Effect.fnUntraced(function* (experts: number, masks: number, weights: UnitWeights) {
  const refuse = (input: string, problem: string) => new MergeError({ method, input, problem })
  if (experts === 0) return yield* refuse("experts", "expected at least one, got none")
  if (masks !== 0 && masks !== experts) {
    return yield* refuse("masks", `expected ${experts}, one per expert, or none, got ${masks}`)
  }
  const rows = weights.rows.map((row) => ({ name: `unit ${row.unit}`, weights: row.weights }))
  yield* UnitCoefficients.checkExperts(method, "weights", { ...weights, rows }, experts)
})

/** The weights times the factors of their units; fails at a unit that is not there. */
const scaled = Effect.fnUntraced(function* (weights: UnitWeights, factors: Readonly<Record<string, number>>) {
  const known = new Set(weights.rows.map(({ unit }) => unit))
  for (const [unit, factor] of Object.entries(factors)) {
    yield* Coefficients.finite(method, `unitLambda ${unit}`, factor)
    if (known.has(unit)) continue
    const problem = `there is no unit ${unit}; a unit is called, for example, ${atOr(weights.rows, 0, { unit: "none" }).unit}`
    return yield* new MergeError({ method, input: "unitLambda", problem })
  }
  return {
    ...weights,
    rows: weights.rows.map((row) => ({
      ...row,
      weights: row.weights.map((weight) => weight * entryOr(factors, row.unit, 1)),
    })),
  }
})
