/**
 * DELLA without sign election: drop elements at random by rank (see `RankedDrop`), then the weighted sum.
 *
 * Source: Deep et al. 2024 (arXiv 2406.11617), section 3.1. Defaults: those of `della`, but normalize false.
 */
import { type Definition, untyped } from "./Definition.ts"
import * as RankedDrop from "./RankedDrop.ts"
import * as Sum from "./Sum.ts"

export const method = RankedDrop.make("della_linear", import.meta.url, Sum.weighted)

export const definition: Definition = {
  parameters: RankedDrop.parameters(false),
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  random: true,
  method: () => untyped(method),
  refuse: RankedDrop.refuse,
}
