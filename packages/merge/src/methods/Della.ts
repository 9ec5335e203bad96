/**
 * DELLA: drop elements at random by rank (see `RankedDrop`), elect a sign in each position, average what agrees.
 *
 * Source: Deep et al. 2024 (arXiv 2406.11617), sections 3.1–3.3. Defaults: density 1, epsilon 0.15, normalize true, λ 1,
 * rescale on.
 */
import * as Definition from "./Definition.ts"
import * as RankedDrop from "./RankedDrop.ts"
import * as Sum from "./Sum.ts"

export const method = RankedDrop.make<RankedDrop.ElectingParams>("della", import.meta.url, Sum.elected)

export const definition = Definition.make({
  name: "della",
  version: 1,
  summary: "drops elements at random, small ones more often, elects signs, and averages what agrees",
  sources: [{ text: "Deep et al. 2024", arxiv: "2406.11617", place: "sections 3.1-3.3" }],
  parameters: RankedDrop.electing,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  random: true,
  method: () => method,
  refuse: RankedDrop.refuse,
})
