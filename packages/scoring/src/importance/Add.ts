/**
 * Add: what the base gains by the expert's change in one unit.
 *
 *     I = Loss(base) − Loss(base with the unit moved to the expert)
 *
 * The unit's marginal contribution in first place (see `Revert` for the source and for what a pass is).
 */
import type { Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, layerByLayer, subtract } from "./Parts.ts"
import * as Method from "./Method.ts"

/** Add importance of units, [units][examples]. */
export const ofUnits = Effect.fnUntraced(function* (
  models: Pick<Method.Models, "fromBase">,
  units: ReadonlyArray<Unit.Unit>,
) {
  const moves = yield* models.fromBase
  const base = yield* moves.unmoved
  const added = yield* moves.losses(units.map((unit) => ({ unit, step: 1 })))
  return added.map((losses) => subtract(base, losses))
})

export const method = Method.make({
  name: "add",
  version: 1,
  summary: "what the base gains by the expert's change in the unit",
  sources: [{ text: "Hi-Merging, ACL 2025" }],
  cost: Method.suffixes,
  parts: (task, models) => layerByLayer(task, (units) => ofUnits(models, units)),
  combine: concatenate,
})
