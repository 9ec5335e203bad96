/**
 * Symmetric: the mean of revert and add.
 *
 * They are a unit's marginal contributions in last and in first place, so their mean is a two-point estimate of its
 * Shapley value (Shapley 1953). Two forward passes per unit and example.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Add from "./Add.ts"
import * as Method from "./Method.ts"
import { concatenate, layerByLayer } from "./Parts.ts"
import * as Revert from "./Revert.ts"

export const method = Method.make({
  name: "symmetric",
  version: 1,
  summary: "the mean of revert and add",
  sources: [{ text: "Shapley 1953" }],
  cost: (of) => {
    const { forward, whole } = Method.suffixes(of)
    return { forward: 2 * forward, backward: 0, whole: 2 * whole }
  },
  parts: (task, models) =>
    layerByLayer(
      task,
      Effect.fnUntraced(function* (units) {
        const last = yield* Revert.ofUnits(models, units)
        const first = yield* Add.ofUnits(models, units)
        return last.map((own, u) => own.map((value, k) => (value + at(at(first, u), k)) / 2))
      }),
    ),
  combine: concatenate,
})
