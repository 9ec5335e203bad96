/**
 * Passthrough: a model's tensors as they are, times `scale` where there is one. Slices of several models stack layers.
 *
 *     W = scale · W_1
 *
 * Default: scale 1, which copies every value.
 */
import { at } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"

const parameters = {
  scale: { level: "model", kind: "number", default: 1, description: "factor of the model's weights" },
} as const

type Params = Definition.ParamsOf<typeof parameters>

export const method = elementwise<Params>({
  name: "passthrough",
  module: import.meta.url,
  combine: (kernels, { models, out }, { params }) => {
    out.set(at(models, 0))
    const scale = at(params.scale, 0)
    if (scale !== 1) kernels.scale(out, scale)
  },
})

export const definition = Definition.make({
  name: "passthrough",
  version: 1,
  summary: "copies a model's tensors, times a factor; slices of several models stack layers",
  sources: [{ text: "mergekit 0.1.5" }],
  parameters,
  base: "none",
  models: [1, 1],
  taskVectors: false,
  method: () => method,
})
