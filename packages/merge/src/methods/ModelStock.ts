/**
 * Model stock: between the base and the mean of the models, as far as their task vectors agree.
 *
 *     c = mean_{i<j} cos(δ_i, δ_j),   t = N c / (1 + (N − 1) c),   W = t · mean_i W_i + (1 − t) W_0
 *
 * Source: Jang et al. 2024 (arXiv 2403.19522), section 4. Defaults: each tensor is one vector; with `filter_wise` each
 * row is. Like the tool, t is not clamped: task vectors that point apart extrapolate beyond the base; `profile: paper`
 * takes such a c as 0. At the pole c = −1/(N − 1), where the tool divides by zero, the result is the base.
 */
import { at } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Definition from "./Definition.ts"
import * as Gram from "./Gram.ts"

const parameters = {
  filter_wise: {
    level: "merge",
    kind: "boolean",
    default: false,
    description: "each row of a tensor is a vector of its own",
  },
  clamp: {
    level: "merge",
    kind: "boolean",
    default: { tool: false, paper: true },
    description: "take a negative mean cosine as 0",
  },
} as const

type Params = Definition.ParamsOf<typeof parameters>

/** The cosine of two task vectors; the product of their lengths counts as 1e-6 at least, as in mergekit 0.1.5. */
const cosine = (gram: Gram.Gram, i: number, j: number): number => {
  const lengths = Math.max(Math.sqrt(at(at(gram, i), i) * at(at(gram, j), j)), 1e-6)
  return Math.min(Math.max(at(at(gram, i), j) / lengths, -1), 1)
}

const share = (gram: Gram.Gram, { clamp }: Params): number => {
  const models = gram.length
  let sum = 0
  for (let i = 0; i < models; i++) for (let j = 0; j < i; j++) sum += cosine(gram, i, j)
  const mean = sum / ((models * (models - 1)) / 2)
  const agreement = clamp ? Math.max(mean, 0) : mean
  const divisor = 1 + (models - 1) * agreement
  return Math.abs(divisor) < 1e-9 ? 0 : (models * agreement) / divisor
}

/** `out = base + t · mean_i δ_i`, which is t · mean_i W_i + (1 − t) W_0. */
const apply = (
  kernels: Kernels,
  out: Float32Array,
  base: Float32Array,
  deltas: ReadonlyArray<Float32Array>,
  t: number,
) => {
  for (const delta of deltas) kernels.addScaled(out, delta, 1 / deltas.length)
  kernels.applyTo(out, base, t)
}

const rows = (kernels: Kernels, block: Block, task: Task<Params>, deltas: ReadonlyArray<Float32Array>) => {
  for (let row = 0; row < block.rows; row++) {
    const [start, end] = [row * block.columns, (row + 1) * block.columns]
    const of = deltas.map((delta) => delta.subarray(start, end))
    const t = share(Gram.of(kernels, of), task.params)
    apply(kernels, block.out.subarray(start, end), block.base.subarray(start, end), of, t)
  }
}

export const method: Method<Params, number> = {
  name: "model_stock",
  module: import.meta.url,
  block: "rows",
  start: () => 0,
  passes: ({ models, params }) =>
    params.filter_wise ? [] : [Gram.pass(models, TaskVector.weighted, (gram) => share(gram, params))],
  carry: () => undefined,
  combine: (kernels, block, task, t) => {
    const deltas = TaskVector.weighted(kernels, block, task)
    if (task.params.filter_wise) rows(kernels, block, task, deltas)
    else apply(kernels, block.out, block.base, deltas, t)
  },
}

export const definition = Definition.make({
  name: "model_stock",
  version: 1,
  summary: "goes from the base towards the models' mean as far as their task vectors agree",
  sources: [{ text: "Jang et al. 2024", arxiv: "2403.19522", place: "section 4" }],
  parameters,
  base: "required",
  models: [2, Infinity],
  taskVectors: true,
  method: () => method,
})
