/**
 * NearSwap: takes over the other model's weights where they are near the base's.
 *
 *     w = clamp(t / max(|W_0 − W_1|, 1e-6), 0, 1),   W = w W_1 + (1 − w) W_0
 *
 * Source: mergekit 0.1.5's method of that name. `t` has no default.
 */
import { at, known } from "@hila/core/Lookup"
import { elementwise } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"

const parameters = {
  t: {
    level: "merge",
    kind: "number",
    description: "distance up to which the other model's weight is taken",
  },
} as const

type Params = Definition.ParamsOf<typeof parameters>

export const method = elementwise<Params>({
  name: "nearswap",
  module: import.meta.url,
  combine: (_, { base, models, out }, { params }) => {
    const other = at(models, 0)
    const t = Math.fround(params.t)
    const least = Math.fround(1e-6)
    for (let i = 0; i < out.length; i++) {
      const distance = Math.abs(Math.fround(known(base[i]) - known(other[i])))
      // A distance that is no number stays one: the result is refused, not hidden.
      const share = Math.fround(t / (distance < least ? least : distance))
      const w = share > 1 ? 1 : share < 0 ? 0 : share
      out[i] = Math.fround(w * known(other[i])) + Math.fround(Math.fround(1 - w) * known(base[i]))
    }
  },
})

export const definition = Definition.make({
  name: "nearswap",
  version: 1,
  summary: "takes over the other model's weights where they are near the base's",
  sources: [{ text: "mergekit 0.1.5" }],
  parameters,
  base: "required",
  models: [1, 1],
  taskVectors: false,
  method: () => method,
})
