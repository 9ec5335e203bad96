/**
 * Symmetric: the mean of revert and add.
 *
 * They are a unit's marginal contributions in last and in first place, so their mean is a two-point estimate of its
 * Shapley value (Shapley 1953). Two forward passes per unit and example.
 */
import * as Effect from "effect/Effect"
import * as Add from "./Add.ts"
import { concatenate, unitByUnit } from "./Parts.ts"
import type { Method } from "./Method.ts"
import * as Revert from "./Revert.ts"

export const method: Method = {
  name: "symmetric",
  cost: (units) => ({ forward: 2 * units, backward: 0 }),
  parts: (task, models) =>
    unitByUnit(
      task,
      Effect.fnUntraced(function* (unit) {
        const last = yield* Revert.ofUnit(task, models, unit)
        const first = yield* Add.ofUnit(task, models, unit)
        return last.map((value, k) => (value + (first[k] ?? 0)) / 2)
      }),
    ),
  combine: concatenate,
}
