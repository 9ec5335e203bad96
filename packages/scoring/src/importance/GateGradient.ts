/**
 * Gate gradient: how much the loss would move with a unit's change, |⟨∂Loss_k(θ)/∂θ, δ_u⟩| at the expert, per example.
 *
 * After the head importance of "Are Sixteen Heads Really Better than One?" (Michel et al. 2019, arXiv 1905.10650, eq. 2), with the gate on
 * the change of the unit. Absolute, since on answers the expert itself wrote the signed first-order term has an expected
 * value of 0 (the expected gradient of log p under p vanishes) and is noise. One pass forward and back.
 */
import * as Method from "./Method.ts"
import { concatenate, gradientAt } from "./Parts.ts"

export const method = Method.make({
  name: "gateGradient",
  version: 1,
  summary: "how much the loss would move with the unit's change",
  sources: [{ text: "Michel et al. 2019", arxiv: "1905.10650", place: "equation 2" }],
  cost: () => Method.passes(1, 1),
  parts: (task, models) => [{ id: "expert", measure: gradientAt(task, models, 1) }],
  combine: (parts) => concatenate(parts).map((examples) => examples.map(Math.abs)),
})
