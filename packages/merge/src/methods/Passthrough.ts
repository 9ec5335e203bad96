/**
 * Passthrough: a model's tensors as they are, times `scale` where there is one. Slices of several models stack layers.
 *
 *     W = scale · W_1
 *
 * Default: scale 1, which copies every value.
 */
import { at } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import { type Definition, untyped } from "./Definition.ts"

interface Params {
  readonly scale: ReadonlyArray<number>
}

export const method = elementwise<Params>({
  name: "passthrough",
  module: import.meta.url,
  combine: (kernels, { models, out }, { params }) => {
    out.set(at(models, 0))
    const scale = at(params.scale, 0)
    if (scale !== 1) kernels.scale(out, scale)
  },
})

export const definition: Definition = {
  parameters: {
    scale: { level: "model", kind: "number", default: 1, description: "factor of the model's weights" },
  },
  base: "none",
  models: [1, 1],
  taskVectors: false,
  method: () => untyped(method),
}
