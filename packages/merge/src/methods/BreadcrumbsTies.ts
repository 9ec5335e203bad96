/**
 * Model breadcrumbs with sign election: the windows of the task vectors, and of these what agrees in sign.
 *
 * Source: Davari & Belilovsky 2023 (arXiv 2312.06795), with Yadav et al. 2023 (arXiv 2306.01708), algorithm 1.
 * Defaults: those of `breadcrumbs`.
 */
import * as Definition from "./Definition.ts"
import * as Sum from "./Sum.ts"
import * as Window from "./Window.ts"

export const method = Window.make<Window.ElectingParams>("breadcrumbs_ties", import.meta.url, Sum.elected)

export const definition = Definition.make({
  name: "breadcrumbs_ties",
  version: 1,
  summary: "drops the largest and the smallest elements of task vectors, elects signs, and adds what agrees",
  sources: [
    { text: "Davari & Belilovsky 2023", arxiv: "2312.06795", place: "section 3" },
    { text: "Yadav et al. 2023", arxiv: "2306.01708", place: "algorithm 1" },
  ],
  parameters: Window.electing,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
