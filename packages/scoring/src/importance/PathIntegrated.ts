/**
 * Path-integrated: the gradient of the loss along the way from base to expert, unit by unit.
 *
 *     I = −(1/Q) Σ_q ⟨∂Loss(θ_0 + a_q δ)/∂θ, δ_u⟩,  a_q = (q − ½)/Q,  q = 1 … Q
 *
 * Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365, eq. 1) with units of the change as features and the midpoint rule.
 * Complete: over all units and the residual it adds up to Loss(base) − Loss(expert), but for the error of the rule. All
 * units at once: Q passes forward and back, however many units there are.
 */
import { at } from "@hila/core/Lookup"
import * as Method from "./Method.ts"
import { gradientAt } from "./Parts.ts"

export const method = Method.make({
  name: "pathIntegrated",
  version: 1,
  summary: "the gradient of the loss along the way from base to expert",
  sources: [{ text: "Sundararajan et al. 2017", arxiv: "1703.01365", place: "equation 1" }],
  options: ["quadrature"],
  cost: ({ quadrature }) => Method.passes(quadrature, quadrature),
  parts: (task, models) =>
    Array.from({ length: task.quadrature }, (_, q) => ({
      id: `point ${q + 1} of ${task.quadrature}`,
      measure: gradientAt(task, models, (q + 0.5) / task.quadrature),
    })),
  combine: (points) =>
    at(points, 0).map((examples, unit) =>
      examples.map((_, k) => -points.reduce((sum, point) => sum + at(at(point, unit), k), 0) / points.length),
    ),
})
