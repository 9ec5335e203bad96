/**
 * Model breadcrumbs with sign election: the windows of the task vectors, and of these what agrees in sign.
 *
 * Source: Davari & Belilovsky 2023 (arXiv 2312.06795), with Yadav et al. 2023, algorithm 1. Defaults: those of
 * `breadcrumbs`.
 */
import { type Definition, untyped } from "./Definition.ts"
import * as Sum from "./Sum.ts"
import * as Window from "./Window.ts"

export const method = Window.make("breadcrumbs_ties", import.meta.url, Sum.elected)

export const definition: Definition = {
  parameters: Window.parameters(true),
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => untyped(method),
}
