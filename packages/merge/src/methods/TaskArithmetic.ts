/**
 * Task arithmetic: the base plus a multiple of the weighted sum of task vectors.
 *
 *     W = W_0 + λ Σ_t w_t (W_t − W_0)  (the sum divided by Σ_t w_t with `normalize`)
 *
 * Source: Ilharco et al. 2023 (arXiv 2212.04089), section 2. Defaults: λ 1, normalize false.
 */
import { elementwise } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import * as shared from "./shared.ts"
import * as Sum from "./Sum.ts"

const parameters = {
  weight: shared.weight,
  normalize: shared.normalize(false),
  lambda: shared.lambda,
  density: shared.unused(shared.density, "task arithmetic keeps every element; ties, dare or della do not"),
  rescale: shared.unused(
    shared.rescale("none", "l1", ["none", "l1", "probability"]),
    "task arithmetic drops nothing that scaling could make up for",
  ),
  int8_mask: shared.int8Mask,
} as const

export const method = elementwise<Sum.SumParams>({
  name: "task_arithmetic",
  module: import.meta.url,
  combine: (kernels, block, task) => Sum.weighted(kernels, block, task, TaskVector.all(kernels, block)),
  sum: ({ params }) => Sum.weightedSum(params),
})

export const definition = Definition.make({
  name: "task_arithmetic",
  version: 1,
  summary: "adds the weighted sum of task vectors to the base",
  sources: [{ text: "Ilharco et al. 2023", arxiv: "2212.04089", place: "section 2" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
