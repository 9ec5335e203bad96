/**
 * DELLA without sign election: drop elements at random by rank (see `RankedDrop`), then the weighted sum.
 *
 * Source: Deep et al. 2024 (arXiv 2406.11617), section 3.1. Defaults: those of `della`, but normalize false.
 */
import * as Definition from "./Definition.ts"
import * as RankedDrop from "./RankedDrop.ts"
import * as Sum from "./Sum.ts"

export const method = RankedDrop.make("della_linear", import.meta.url, Sum.weighted)

export const definition = Definition.make({
  name: "della_linear",
  version: 1,
  summary: "drops elements at random, small ones more often, and adds the rest",
  sources: [{ text: "Deep et al. 2024", arxiv: "2406.11617", place: "section 3.1" }],
  parameters: RankedDrop.parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  random: true,
  method: () => method,
  refuse: RankedDrop.refuse,
})
