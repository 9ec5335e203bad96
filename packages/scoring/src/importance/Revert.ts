/**
 * Revert: what the expert loses without its change in a unit.
 *
 *     I = Loss(expert with the unit set back to base) − Loss(expert)
 *
 * The unit's marginal contribution in last place. The contribution analysis of Hi-Merging (ACL 2025) with loss in
 * place of task score and heads and MLPs in place of layers. One forward pass per unit and example.
 */
import { DeltaGates, type DeltaModel, type Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, subtract, unitByUnit } from "./Parts.ts"
import type { Method, Models, Task } from "./Method.ts"

/** Losses with every unit at `others` and one at `own`, where 0 is the base and 1 the expert. */
export const lossesWith = (
  delta: DeltaModel,
  golden: Task["golden"],
  unit: Unit.Unit,
  gates: { readonly others: number; readonly own: number },
) =>
  delta.losses(
    golden,
    DeltaGates.with(DeltaGates.filled(delta.shape, gates.others), delta.shape, unit, gates.own),
  )

/** Revert importance of one unit, [examples]. */
export const ofUnit = Effect.fnUntraced(function* (
  { golden }: Pick<Task, "golden">,
  models: Pick<Models, "delta" | "references">,
  unit: Unit.Unit,
) {
  const { expert } = yield* models.references
  return subtract(yield* lossesWith(yield* models.delta, golden, unit, { others: 1, own: 0 }), expert)
})

export const method: Method = {
  name: "revert",
  cost: (units) => ({ forward: units, backward: 0 }),
  parts: (task, models) => unitByUnit(task, (unit) => ofUnit(task, models, unit)),
  combine: concatenate,
}
