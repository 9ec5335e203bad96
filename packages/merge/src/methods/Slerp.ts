/**
 * Slerp: spherical interpolation between the base and one model, each tensor as one vector.
 *
 *     cos θ = ⟨W_0, W_1⟩ / (‖W_0‖ ‖W_1‖),   W = sin((1−t)θ)/sin θ · W_0 + sin(tθ)/sin θ · W_1
 *
 * Source: Shoemake 1985, as mergekit 0.1.5 applies it to weights: the unit vectors give the angle, the weights keep
 * their lengths. Linear where |cos θ| > 0.9995 or a tensor is all zeros (where the tool takes θ as a right angle).
 */
import { at } from "@hila/core/Lookup"
import type { Method } from "../engine/Method.ts"
import * as Definition from "./Definition.ts"
import * as Gram from "./Gram.ts"

const parameters = {
  t: { level: "merge", kind: "number", description: "0 gives the base, 1 the other model" },
} as const

type Params = Definition.ParamsOf<typeof parameters>

type State = readonly [base: number, model: number]

/** The shares of both ends at `t`. */
const shares = (gram: Gram.Gram, t: number): State => {
  const cosine = Gram.cosine(gram, 0, 1)
  const straight = Math.abs(cosine) > 0.9995 || Gram.norms(gram).some((norm) => norm < 1e-8)
  if (straight) return [1 - t, t]
  const angle = Math.acos(cosine)
  return [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)]
}

export const method: Method<Params, State> = {
  name: "slerp",
  module: import.meta.url,
  start: () => [1, 0],
  passes: () => [
    Gram.pass(
      2,
      (_, { base, models }) => [base, at(models, 0)],
      (gram, { params }) => shares(gram, params.t),
    ),
  ],
  carry: () => undefined,
  combine: (kernels, { base, models, out }, _, state) => {
    kernels.addScaled(out, base, state[0])
    kernels.addScaled(out, at(models, 0), state[1])
  },
  sum: (_, state) => ({ weights: state, divisor: 1 }),
}

export const definition = Definition.make({
  name: "slerp",
  version: 1,
  summary: "interpolates on the sphere between the base and one model",
  sources: [{ text: "Shoemake 1985" }, { text: "mergekit 0.1.5" }],
  parameters,
  base: "required",
  models: [1, 1],
  taskVectors: false,
  method: () => method,
})
