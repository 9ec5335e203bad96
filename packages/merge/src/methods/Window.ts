/**
 * What both forms of breadcrumbs share: of each task vector, the largest and the smallest elements are dropped.
 *
 *     kept: those of rank top + 1 … top + ⌊density · n⌋ by falling magnitude, top = min(⌊γ · n⌋, n − ⌊density · n⌋)
 *
 * Where ⌊γ · n⌋ is 0 mergekit before 0.1.5 drops the whole task vector, a defect; here the window is as intended.
 * As in the tool, a density of 1 keeps everything, whatever γ is.
 */
import { at } from "@hila/core/Lookup"
import type { Method } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Largest from "./Largest.ts"
import type { ParamsOf } from "./Parameters.ts"
import * as shared from "./shared.ts"
import * as Rescale from "./Rescale.ts"
import type * as Sum from "./Sum.ts"

/** Parameters of the form that adds up what is left. */
export const parameters = {
  weight: shared.weight,
  density: shared.density,
  gamma: {
    level: "model",
    kind: "number",
    default: 0.01,
    range: [0, 1],
    description: "share of the elements, the largest, that is dropped",
  },
  normalize: shared.normalize(false),
  rescale: shared.rescale("none", "l1", ["none", "l1"]),
  lambda: shared.lambda,
  int8_mask: shared.int8Mask,
} as const

/** Parameters of the form that elects signs. */
export const electing = { ...parameters, elect: shared.elect } as const

export type Params = ParamsOf<typeof parameters>
export type ElectingParams = ParamsOf<typeof electing>

export interface State extends Largest.State, Rescale.State {}

/** How many of `elements` lie above the window, and how many above its lower end. */
const windowOf = (elements: number, density: number, gamma: number): readonly [number, number] => {
  if (density >= 1) return [0, elements]
  const kept = Math.floor(density * elements)
  const top = Math.min(Math.floor(gamma * elements), elements - kept)
  return [top, top + kept]
}

const thin = (kernels: Kernels, delta: Float32Array, model: number, state: State, carry: Largest.Carry) => {
  Largest.dropLast(kernels, delta, state, carry, model, 0)
  Largest.keepLast(kernels, delta, state, carry, model, 1)
}

export const make = <P extends Params>(
  name: string,
  module: string,
  sum: Sum.Sum<P>,
): Method<P, State, Largest.Carry> => ({
  name,
  module,
  start: () => ({ ...Largest.start, factors: [] }),
  passes: ({ models, params }) => [
    ...Largest.passes<P, State>({
      streams: models,
      each: 2,
      values: TaskVector.all,
      keep: ({ elements }) =>
        params.density.map((share, model) => [...windowOf(elements, share, at(params.gamma, model))]),
      ties: "last",
    }),
    ...(params.rescale === "l1"
      ? [
          Rescale.l1<P, State, Largest.Carry>(models, (kernels, _, __, delta, model, state, carry) =>
            thin(kernels, delta, model, state, carry),
          ),
        ]
      : []),
  ],
  carry: Largest.carry,
  combine: (kernels, block, task, state, carry) => {
    const deltas = Rescale.thinned(kernels, block, state, (delta, model) =>
      thin(kernels, delta, model, state, carry),
    )
    sum(kernels, block, task, deltas)
  },
})
