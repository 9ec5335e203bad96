/**
 * Fisher merging: the average of models in which each weight of a model counts by how much its loss depends on it.
 *
 *     W = Σ_t a_t (F_t + floor) ⊙ W_t / Σ_t a_t (F_t + floor)
 *
 * Source: Matena & Raffel 2022 (arXiv 2111.09832), section 2.3, with F_t the diagonal of the Fisher matrix. Defaults: weight
 * (a_t) 1, floor 1e-6, normalize false; with `normalize` a_t is divided by ‖F_t‖₂ over the whole model (section 2.4), the
 * norms scaled to a mean of 1. Where no model's loss depends on a weight the floor makes it the plain average.
 * Needs statistics of kind `fisher` of each model; squared gradients are small, so a floor of 1e-6 may outweigh them.
 */
import { at, known } from "@hila/core/Lookup"
import type { Method } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: { ...shared.weight, default: 1 },
  floor: {
    level: "merge",
    kind: "number",
    default: 1e-6,
    range: [0, Infinity],
    description: "added to every element of the Fisher diagonals",
  },
  normalize: {
    level: "merge",
    kind: "boolean",
    default: false,
    description: "let every model count the same in all, whatever the norm of its Fisher diagonal",
  },
} as const

type Params = Definition.ParamsOf<typeof parameters>

/** a_t over the whole model. */
type State = ReadonlyArray<number>

export const method: Method<Params, State> = {
  name: "fisher",
  module: import.meta.url,
  group: ({ normalize }) => (normalize ? "fisher" : undefined),
  start: ({ models }) => Array.from({ length: models }, () => 1),
  passes: ({ models, params }) =>
    params.normalize
      ? [
          {
            sums: models,
            reduce: (kernels, { extras }, _, __, { sums }) => {
              for (const [model, fisher] of extras.entries())
                sums[model] = at(sums, model) + kernels.dot(fisher, fisher)
            },
            close: (_, { sums }) => {
              const norms = [...sums].map(Math.sqrt)
              const mean = norms.reduce((sum, norm) => sum + norm, 0) / norms.length
              return norms.map((norm) => (norm > 0 ? mean / norm : 1))
            },
          },
        ]
      : [],
  carry: () => undefined,
  combine: (_, { extras, models, out }, { params: { floor, weight } }, scales) => {
    const factors = scales.map((scale, model) => scale * at(weight, model))
    for (let i = 0; i < out.length; i++) {
      let [sum, total] = [0, 0]
      for (const [model, values] of models.entries()) {
        const share = known(factors[model]) * (known(known(extras[model])[i]) + floor)
        sum += share * known(values[i])
        total += share
      }
      out[i] = sum / total
    }
  },
}

export const definition = Definition.make({
  name: "fisher",
  version: 1,
  summary: "averages models, each weight of a model by how much its loss depends on it",
  sources: [{ text: "Matena & Raffel 2022", arxiv: "2111.09832", place: "section 2.3" }],
  parameters,
  base: "none",
  models: [1, Infinity],
  taskVectors: false,
  statistics: { kinds: ["fisher"], of: "models", use: "elements" },
  method: () => method,
  refuse: (values) =>
    values.weight.every((weight) => weight > 0) && values.floor !== 0
      ? undefined
      : "weights and floor must be above 0, or an element may have nothing to be divided by",
})
