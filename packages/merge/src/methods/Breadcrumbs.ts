/**
 * Model breadcrumbs: the sum of task vectors without their largest and their smallest elements.
 *
 *     W = W_0 + λ Σ_t w_t window(δ_t)        (see `Window`)
 *
 * Source: Davari & Belilovsky 2023 (arXiv 2312.06795), section 3. Defaults: density 1, gamma 0.01, normalize false, λ 1.
 */
import * as Definition from "./Definition.ts"
import * as Sum from "./Sum.ts"
import * as Window from "./Window.ts"

export const method = Window.make("breadcrumbs", import.meta.url, Sum.weighted)

export const definition = Definition.make({
  name: "breadcrumbs",
  version: 1,
  summary: "drops the largest and the smallest elements of task vectors, and adds the rest",
  sources: [{ text: "Davari & Belilovsky 2023", arxiv: "2312.06795", place: "section 3" }],
  parameters: Window.parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
