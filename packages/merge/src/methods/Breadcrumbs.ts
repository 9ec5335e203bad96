/**
 * Model breadcrumbs: the sum of task vectors without their largest and their smallest elements.
 *
 *     W = W_0 + λ Σ_t w_t window(δ_t)        (see `Window`)
 *
 * Source: Davari & Belilovsky 2023 (arXiv 2312.06795), section 3. Defaults: density 1, gamma 0.01, normalize false, λ 1.
 */
import { type Definition, untyped } from "./Definition.ts"
import * as Sum from "./Sum.ts"
import * as Window from "./Window.ts"

export const method = Window.make("breadcrumbs", import.meta.url, Sum.weighted)

export const definition: Definition = {
  parameters: Window.parameters(false),
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => untyped(method),
}
