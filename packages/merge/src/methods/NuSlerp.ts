/**
 * NuSlerp: spherical interpolation between two models, or between their task vectors where there is a base.
 *
 *     t = w_2 / (w_1 + w_2)  (½ where |w_1 + w_2| < 1e-6),
 *     W = sin((1−t)θ)/sin θ · V_1 + sin(tθ)/sin θ · V_2  (+ W_0),   linear where |sin θ| < 1e-8
 *
 * Source: mergekit 0.1.5's method of that name. Defaults: each tensor is one vector (`nuslerp_flatten: true`); else
 * each row is one or, with `nuslerp_row_wise`, each column: the key means the tool's rows, which are ours by the other axis.
 */
import { known } from "@hila/core/Lookup"
import type { Method } from "../engine/Method.ts"
import * as Combination from "./Combination.ts"
import * as Definition from "./Definition.ts"
import * as Gram from "./Gram.ts"
import { method as columns } from "./NuSlerpColumns.ts"
import { type Params, shares } from "./NuSlerpShares.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: shared.weight,
  nuslerp_flatten: {
    level: "merge",
    kind: "boolean",
    default: true,
    description: "a tensor is one vector",
  },
  nuslerp_row_wise: {
    level: "merge",
    kind: "boolean",
    default: false,
    description: "without nuslerp_flatten: vectors run along the first dimension, not the last",
  },
} as const

export const method: Method<Params, Combination.State> = {
  name: "nuslerp",
  module: import.meta.url,
  block: "rows",
  start: () => [],
  passes: ({ params }) =>
    params.nuslerp_flatten
      ? [
          Gram.pass<Params, Combination.State, undefined>(2, Combination.vectors, (gram) =>
            shares(gram, params.weight),
          ),
        ]
      : [],
  carry: () => undefined,
  combine: (kernels, block, task, state) => {
    const both = Combination.vectors(kernels, block, task)
    if (task.params.nuslerp_flatten) return Combination.combine(kernels, block, task, both, state)
    for (let row = 0; row < block.rows; row++) {
      const [start, end] = [row * block.columns, (row + 1) * block.columns]
      const ends = both.map((values) => values.subarray(start, end))
      const parts = shares(Gram.of(kernels, ends), task.params.weight)
      for (const [index, values] of ends.entries())
        kernels.addScaled(block.out.subarray(start, end), values, known(parts[index]))
    }
    if (task.hasBase) kernels.applyTo(block.out, block.base, 1)
  },
}

export const definition = Definition.make({
  name: "nuslerp",
  version: 1,
  summary: "interpolates on the sphere between two models, or between their task vectors",
  sources: [{ text: "mergekit 0.1.5" }],
  parameters,
  base: "optional",
  models: [2, 2],
  taskVectors: true,
  method: (values) => (!values.nuslerp_flatten && values.nuslerp_row_wise ? columns : method),
})
