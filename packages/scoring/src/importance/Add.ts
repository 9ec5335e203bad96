/**
 * Add: what the base gains by the expert's change in one unit.
 *
 *     I = Loss(base) − Loss(base with the unit moved to the expert)
 *
 * The unit's marginal contribution in first place (see `Revert` for the source). One forward pass per unit and example.
 */
import type { Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, subtract, unitByUnit } from "./Parts.ts"
import type { Method, Models, Task } from "./Method.ts"
import { lossesWith } from "./Revert.ts"

/** Add importance of one unit, [examples]. */
export const ofUnit = Effect.fnUntraced(function* (
  { golden }: Pick<Task, "golden">,
  models: Pick<Models, "delta" | "references">,
  unit: Unit.Unit,
) {
  const { base } = yield* models.references
  return subtract(base, yield* lossesWith(yield* models.delta, golden, unit, { others: 0, own: 1 }))
})

export const method: Method = {
  name: "add",
  cost: (units) => ({ forward: units, backward: 0 }),
  parts: (task, models) => unitByUnit(task, (unit) => ofUnit(task, models, unit)),
  combine: concatenate,
}
