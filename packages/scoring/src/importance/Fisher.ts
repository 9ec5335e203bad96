/**
 * Block Fisher: the second-order loss of taking a unit's change back, ½ ⟨∂Loss_k(θ)/∂θ, δ_u⟩² at the expert, per example.
 *
 * On answers drawn from the expert itself the expected squared gradient is the Fisher information, which there equals
 * the curvature of the loss (Martens 2020, arXiv 1412.1193, section 9.2); greedy answers make it an estimate. Cross terms within a unit
 * are kept, cross terms between units are not; `FisherDiagonal` keeps none. One pass forward and back.
 */
import * as Method from "./Method.ts"
import { concatenate, gradientAt } from "./Parts.ts"

export const method = Method.make({
  name: "fisher",
  version: 1,
  summary: "the second-order loss of taking the unit's change back",
  sources: [{ text: "Martens 2020", arxiv: "1412.1193", place: "section 9.2" }],
  cost: () => Method.passes(1, 1),
  parts: (task, models) => [{ id: "expert", measure: gradientAt(task, models, 1) }],
  combine: (parts) => concatenate(parts).map((examples) => examples.map((value) => value ** 2 / 2)),
})
