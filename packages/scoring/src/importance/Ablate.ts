/**
 * Ablate: what the expert loses without the output of a unit.
 *
 *     I = Loss(expert with the unit's output set to zero) − Loss(expert)
 *
 * It measures the head or MLP itself and not what fine-tuning changed in it: a head the expert shares with its base can
 * score high. For interpretability and for decisions to keep, not alone for weights of a change. A key-value head has no
 * output of its own and scores 0. `AblateMean` takes the mean for zero. One forward pass per unit and example, through
 * the unit's layer and those behind it: the residual stream before it is computed once.
 */
import type { ModelError, Unit, UnitInterventions } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, layerByLayer, subtract } from "./Parts.ts"
import * as Method from "./Method.ts"

/** What units are worth by their outputs alone, [units][examples]. */
export const ofUnits = Effect.fnUntraced(function* (
  ablations: Effect.Effect<UnitInterventions.UnitInterventions, ModelError>,
  units: ReadonlyArray<Unit.Unit>,
) {
  const moves = yield* ablations
  const expert = yield* moves.unmoved
  const own = units.filter(({ kind }) => kind !== "kvHead")
  const without = yield* moves.losses(own.map((unit) => ({ unit, step: -1 })))
  const found = new Map(own.map((unit, i) => [unit, without[i] ?? expert]))
  return units.map((unit) => subtract(found.get(unit) ?? expert, expert))
})

export const method = Method.make({
  name: "ablate",
  version: 1,
  summary: "what the expert loses without the unit's output",
  sources: [],
  cost: Method.suffixes,
  parts: (task, models) => layerByLayer(task, (units) => ofUnits(models.zeroed, units)),
  combine: concatenate,
})
