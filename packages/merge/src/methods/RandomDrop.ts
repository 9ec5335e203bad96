/**
 * What DARE's two forms share: dropping elements at random with one probability per model, and scaling up the rest.
 *
 * Element i of model t is kept where a random number keyed by (seed, t, tensor, i) is below the density, so the result
 * depends on no order of work. A density of 1 drops nothing and draws nothing.
 */
import { at } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Random from "../kernels/Random.ts"
import type { ParamsOf } from "./Parameters.ts"
import * as shared from "./shared.ts"
import * as Rescale from "./Rescale.ts"
import type * as Sum from "./Sum.ts"

/** Parameters of the form that adds up what is left. */
export const parameters = {
  weight: shared.weight,
  density: shared.density,
  normalize: shared.normalize(false),
  rescale: shared.rescale({ tool: "l1", paper: "probability" }, { tool: "l1", paper: "probability" }, [
    "none",
    "l1",
    "probability",
  ]),
  lambda: shared.lambda,
  int8_mask: shared.int8Mask,
} as const

/** Parameters of the form that elects signs. */
export const electing = { ...parameters, elect: shared.elect } as const

export type Params = ParamsOf<typeof parameters> & { readonly seed: number }
export type ElectingParams = ParamsOf<typeof electing> & { readonly seed: number }

export type State = Rescale.State

const thin = (kernels: Kernels, block: Block, task: Task<Params>, delta: Float32Array, model: number) => {
  const { density, seed } = task.params
  const keep = at(density, model)
  if (keep < 1) kernels.keepRandom(delta, Random.key(seed, model, task.tensor), block.start, keep)
}

/** What scales the rest up, where it is known beforehand. */
const factorsOf = ({ density, rescale }: Params): ReadonlyArray<number> =>
  rescale === "probability" ? density.map((keep) => (keep > 0 ? 1 / keep : 1)) : []

/** A method that drops, scales and sums. */
export const make = <P extends Params>(name: string, module: string, sum: Sum.Sum<P>): Method<P, State> => ({
  name,
  module,
  start: ({ params }) => ({ factors: factorsOf(params) }),
  passes: ({ models, params }) =>
    params.rescale === "l1" && params.density.some((keep) => keep < 1) ? [Rescale.l1(models, thin)] : [],
  carry: () => undefined,
  combine: (kernels, block, task, state) => {
    const deltas = Rescale.thinned(kernels, block, state, (delta, model) =>
      thin(kernels, block, task, delta, model),
    )
    sum(kernels, block, task, deltas)
  },
})
