/**
 * Ablate: what the expert loses without the output of a unit.
 *
 *     I = Loss(expert with the unit's output set to zero) − Loss(expert)
 *
 * It measures the head or MLP itself and not what fine-tuning changed in it: a head the expert shares with its base can
 * score high. For interpretability and for decisions to keep, not alone for weights of a change. A key-value head has no
 * output of its own and scores 0. `AblateMean` takes the mean for zero. One forward pass per unit and example.
 */
import { Gates } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, subtract, unitByUnit } from "./Parts.ts"
import { type Method, passes } from "./Method.ts"

export const method: Method = {
  name: "ablate",
  cost: ({ units }) => passes(units + 1),
  parts: (task, models) =>
    unitByUnit(
      task,
      Effect.fnUntraced(function* (unit) {
        const model = yield* models.expert
        const { expert } = yield* models.references
        const gates = Gates.with(Gates.filled(model.shape, 1), model.shape, unit, 0)
        return subtract(yield* model.losses(task.golden, { gates }), expert)
      }),
    ),
  combine: concatenate,
}
