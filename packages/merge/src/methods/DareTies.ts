/**
 * DARE with TIES: drop at random and scale up, then elect a sign in each position and keep what agrees.
 *
 * Source: Yu et al. 2024 (arXiv 2311.03099), section 3.3, with Yadav et al. 2023 (arXiv 2306.01708), algorithm 1.
 * Defaults: those of `dare_linear`, so the sum of what agrees is not divided (`normalize: false`), as in mergekit 0.1.5.
 */
import * as Definition from "./Definition.ts"
import * as RandomDrop from "./RandomDrop.ts"
import * as Sum from "./Sum.ts"

export const method = RandomDrop.make<RandomDrop.ElectingParams>("dare_ties", import.meta.url, Sum.elected)

export const definition = Definition.make({
  name: "dare_ties",
  version: 1,
  summary: "drops elements of task vectors at random, scales up the rest, elects signs, and adds what agrees",
  sources: [
    { text: "Yu et al. 2024", arxiv: "2311.03099", place: "section 3.3" },
    { text: "Yadav et al. 2023", arxiv: "2306.01708", place: "algorithm 1" },
  ],
  parameters: RandomDrop.electing,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  random: true,
  method: () => method,
})
