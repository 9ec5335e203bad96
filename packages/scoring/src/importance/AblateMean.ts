/**
 * Mean ablation: what the expert loses with the output of a unit replaced by its mean.
 *
 *     I = Loss(expert with the unit's output at its mean over the golden data) − Loss(expert)
 *
 * As `Ablate`, but the layers behind the unit meet an output they are used to, so that what is measured is what the
 * output says token by token (Wang et al. 2023, "Interpretability in the Wild", section 2). The mean is over all tokens of
 * prompts and responses that the model reads, one for the whole set. A key-value head has no output of its own and scores 0.
 * One forward pass per unit and example, and one per example for the means.
 */
import { Gates } from "@hila/model"
import * as Effect from "effect/Effect"
import { concatenate, subtract, unitByUnit } from "./Parts.ts"
import { type Method, passes } from "./Method.ts"

export const method: Method = {
  name: "ablateMean",
  cost: ({ units }) => passes(units + 2),
  parts: (task, models) =>
    unitByUnit(
      task,
      Effect.fnUntraced(function* (unit) {
        const { losses, shape } = yield* models.means
        const { expert } = yield* models.references
        return subtract(yield* losses(Gates.with(Gates.filled(shape, 1), shape, unit, 0)), expert)
      }),
    ),
  combine: concatenate,
}
