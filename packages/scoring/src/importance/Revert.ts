/**
 * Revert: what the expert loses without its change in a unit.
 *
 *     I = Loss(expert with the unit set back to base) − Loss(expert)
 *
 * The unit's marginal contribution in last place. The contribution analysis of Hi-Merging (ACL 2025) with loss in
 * place of task score and heads and MLPs in place of layers. One forward pass per unit and example, through the unit's
 * layer and those behind it: the residual stream before it is computed once.
 */
import type { Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, layerByLayer, subtract } from "./Parts.ts"
import * as Method from "./Method.ts"

/** Revert importance of units, [units][examples]. */
export const ofUnits = Effect.fnUntraced(function* (
  models: Pick<Method.Models, "fromExpert">,
  units: ReadonlyArray<Unit.Unit>,
) {
  const moves = yield* models.fromExpert
  const expert = yield* moves.unmoved
  const reverted = yield* moves.losses(units.map((unit) => ({ unit, step: -1 })))
  return reverted.map((losses) => subtract(losses, expert))
})

export const method = Method.make({
  name: "revert",
  version: 1,
  summary: "what the expert loses without its change in the unit",
  sources: [{ text: "Hi-Merging, ACL 2025" }],
  cost: Method.suffixes,
  parts: (task, models) => layerByLayer(task, (units) => ofUnits(models, units)),
  combine: concatenate,
})
