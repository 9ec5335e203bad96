/**
 * Diagonal Fisher: the second-order loss of taking a unit's change back, parameter by parameter.
 *
 *     I = ½ Σ_i F_ii δ_i²,  i over the unit's parameters,  F_ii = mean over examples of (∂Loss_k/∂θ_i)² at the expert
 *
 * The block risk of REAM (2026) and the penalty of elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796, eq. 3). An
 * example's value is its own ½ Σ (∂Loss_k/∂θ_i · δ_i)². Cross terms between parameters, which `Fisher` keeps within a
 * unit, are left out. One pass forward and back per example.
 */
import { InterpolatedGates } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Method from "./Method.ts"
import { concatenate } from "./Parts.ts"

export const method = Method.make({
  name: "fisherDiagonal",
  version: 1,
  summary: "the second-order loss of taking the unit's change back, without cross terms",
  sources: [
    { text: "Kirkpatrick et al. 2017", arxiv: "1612.00796", place: "equation 3" },
    { text: "REAM, 2026" },
  ],
  cost: () => Method.passes(1, 1),
  parts: ({ golden, units }, models) => [
    {
      id: "expert",
      measure: Effect.gen(function* () {
        const { shape, squares } = yield* models.fisher
        const found = yield* squares(golden)
        return units.map((unit) => found.map((sums) => InterpolatedGates.along(sums, shape, unit) / 2))
      }),
    },
  ],
  combine: concatenate,
})
