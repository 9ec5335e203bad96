/**
 * Importance of a unit: what the expert's change in it is worth on the expert's own golden data.
 *
 * Measured by exact losses, not by gradients, as paired differences per example, in nats per response token:
 *
 *     revert     I = Loss(expert with the unit set back to base) - Loss(expert)
 *     add        I = Loss(base) - Loss(base with the unit moved to the expert)
 *     symmetric  I = (revert + add) / 2
 *
 * Revert and add are the unit's marginal contributions in last and first place, so symmetric is a two-point estimate
 * of its Shapley value. They follow the contribution analysis of Hi-Merging (ACL 2025) with loss in place of task
 * score and heads and MLPs in place of layers. Positive: the unit helps. Ablation, which measures the unit itself and
 * not its change, is another thing.
 */
import { DeltaGates, type DeltaModel, type Example, type Unit, type UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Normalisation from "./Normalisation.ts"
import { ScoringError } from "./ScoringError.ts"
import * as Statistics from "./Statistics.ts"

/** The ways to measure. */
export const methods = ["revert", "add", "symmetric"] as const

/** One way to measure. */
export type Method = (typeof methods)[number]

/** Per-example losses of base and expert, which every unit is compared with. */
export interface References {
  readonly base: ReadonlyArray<number> // [examples], nats
  readonly expert: ReadonlyArray<number> // [examples], nats
}

/** Losses of base and expert on the golden data, which has to have two examples or more. */
export const references = Effect.fn("Importance.references")(function* (
  delta: DeltaModel,
  golden: ReadonlyArray<Example.Example>,
) {
  if (golden.length < 2) {
    return yield* new ScoringError({
      subject: "importance",
      problem: `needs 2 golden examples or more for a standard error, got ${golden.length}; give more questions`,
    })
  }
  const base = yield* delta.losses(golden, DeltaGates.filled(delta.shape, 0))
  const expert = yield* delta.losses(golden, DeltaGates.filled(delta.shape, 1))
  return { base: Array.from(base), expert: Array.from(expert) } satisfies References
})

/** Importance of one unit on each example: [examples], signed, nats. */
export const ofUnit = Effect.fn("Importance.ofUnit")(function* (
  delta: DeltaModel,
  golden: ReadonlyArray<Example.Example>,
  { base, expert }: References,
  unit: Unit.Unit,
  method: Method,
) {
  const { shape } = delta
  const lossesWith = (others: number, own: number) =>
    delta.losses(golden, DeltaGates.with(DeltaGates.filled(shape, others), shape, unit, own))
  const revert = Effect.map(lossesWith(1, 0), (reverted) => subtract(reverted, expert))
  const add = Effect.map(lossesWith(0, 1), (added) => subtract(base, added))
  if (method === "revert") return yield* revert
  if (method === "add") return yield* add
  const [last, first] = [yield* revert, yield* add]
  return last.map((value, k) => (value + (first[k] ?? 0)) / 2)
})

const subtract = (left: ArrayLike<number>, right: ArrayLike<number>): ReadonlyArray<number> =>
  Array.from(left, (value, k) => value - (right[k] ?? 0))

/**
 * The table of scores from each unit's per-example differences: `score` is their mean as it is, `standardError` that
 * of the mean, `relative` the normalised importance, for which insignificant scores count as 0.
 */
export const table = (
  units: ReadonlyArray<Unit.Unit>,
  differences: ReadonlyArray<ReadonlyArray<number>>, // [units][examples]
  { method, scheme }: { readonly scheme: Unit.UnitScheme; readonly method: Method },
): UnitTable.UnitTable => {
  const scored = units.map((unit, index) => {
    const values = differences[index] ?? []
    return {
      unit,
      kind: unit.kind,
      score: Statistics.mean(values),
      standardError: Statistics.standardError(values),
    }
  })
  const relative = Normalisation.relative(scored)
  return {
    scheme,
    method,
    rows: scored.map(({ kind, score, standardError, unit }, index) => ({
      unit: unit.id,
      kind,
      layer: unit.layer,
      index: unit.index,
      size: unit.size,
      score,
      standardError,
      relative: relative[index] ?? 1,
    })),
  }
}

/** Scores every unit of an expert on its golden data. */
export const measure = Effect.fn("Importance.measure")(function* (
  delta: DeltaModel,
  golden: ReadonlyArray<Example.Example>,
  units: ReadonlyArray<Unit.Unit>,
  options: { readonly scheme: Unit.UnitScheme; readonly method: Method },
) {
  const losses = yield* references(delta, golden)
  const differences = yield* Effect.forEach(units, (unit) =>
    ofUnit(delta, golden, losses, unit, options.method),
  )
  return table(units, differences, options)
})
