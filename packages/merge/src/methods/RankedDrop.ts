/**
 * What both forms of DELLA share: elements are dropped at random, small ones of a row more often than large ones.
 *
 *     u = rank of |δ| in its row, ascending, / (columns − 1)   (0.5 in a row of one)
 *     p = density − ε + 2 ε u,   δ̂ = δ ⊙ Bernoulli(p) · r
 *
 * Mergekit 0.1.5 chooses r so that the L1 norm of the tensor stays (`rescale: l1`); the paper divides each element
 * by its own p (`rescale: probability`). A density of 1 drops nothing.
 */
import { at, known, last } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Random from "../kernels/Random.ts"
import type { ParamsOf } from "./Parameters.ts"
import * as shared from "./shared.ts"
import * as Rescale from "./Rescale.ts"
import type * as Sum from "./Sum.ts"

const common = {
  weight: shared.weight,
  density: shared.density,
  epsilon: {
    level: "model",
    kind: "number",
    default: 0.15,
    range: [0, 1],
    description: "half the difference between the probabilities of the largest and the smallest element",
  },
  rescale: shared.rescale({ tool: "l1", paper: "probability" }, { tool: "l1", paper: "probability" }, [
    "none",
    "l1",
    "probability",
  ]),
  lambda: shared.lambda,
  int8_mask: shared.int8Mask,
} as const

/** Parameters of the form that adds up what is left. */
export const parameters = { ...common, normalize: shared.normalize(false) } as const

/** Parameters of the form that elects signs. */
export const electing = { ...common, normalize: shared.normalize(true), elect: shared.elect } as const

export type Params = ParamsOf<typeof parameters> & { readonly seed: number }
export type ElectingParams = ParamsOf<typeof electing> & { readonly seed: number }

export type State = Rescale.State

const thin = (kernels: Kernels, block: Block, task: Task<Params>, delta: Float32Array, model: number) => {
  const { density, epsilon, rescale, seed } = task.params
  const [keep, spread] = [at(density, model), at(epsilon, model)]
  if (keep >= 1) return
  const { columns, start } = block
  const key = Random.key(seed, model, task.tensor)
  if (columns === 1) {
    kernels.keepRandom(delta, key, start, keep)
    if (rescale === "probability") kernels.divide(delta, keep)
    return
  }
  const [factor, offset] = [(2 * spread) / (columns - 1), keep - spread]
  const scratch = block.temporary(7 * columns + 8208)
  if (rescale !== "probability") {
    kernels.keepRanked(delta, columns, { factor, offset }, { key, start }, scratch)
    return
  }
  const probabilities = block.temporary()
  kernels.rankRows(probabilities, delta, columns, scratch)
  kernels.affine(probabilities, factor, offset)
  kernels.keepRandomEach(delta, probabilities, key, start)
  kernels.divideNonzero(delta, probabilities)
}

/** Ranks cost the most, so what the first look at a block decides is remembered for the second. */
const remembers = ({ density, rescale }: Params) => rescale === "l1" && density.some((keep) => keep < 1)

const bytesOf = ({ elements, shape }: Task): number => {
  const columns = Math.max(shape.length === 0 ? 1 : last(shape), 1)
  return Math.ceil(columns / 8) * (elements / columns)
}

/** The bits of a block for one model, of those that are kept: a bit for each element that stays. Rows are whole bytes. */
const bitsOf = ({ columns, firstRow, kept, rows }: Block, task: Task, model: number) => {
  const stride = Math.ceil(columns / 8)
  const start = model * bytesOf(task) + firstRow * stride
  return kept.subarray(start, start + rows * stride)
}

export const make = <P extends Params>(name: string, module: string, sum: Sum.Sum<P>): Method<P, State> => ({
  name,
  module,
  block: "rows",
  keptBytes: (task) => (remembers(task.params) ? task.models * bytesOf(task) : 0),
  start: () => ({ factors: [] }),
  passes: ({ models, params }) =>
    remembers(params)
      ? [
          Rescale.l1<P, State, undefined>(models, (kernels, block, task, delta, model) => {
            thin(kernels, block, task, delta, model)
            if (block.kept.length > 0) kernels.packNonzero(bitsOf(block, task, model), delta, block.columns)
          }),
        ]
      : [],
  carry: () => undefined,
  combine: (kernels, block, task, state) => {
    const deltas = Rescale.thinned(kernels, block, state, (delta, model) => {
      if (block.kept.length === 0) thin(kernels, block, task, delta, model)
      else kernels.keepBits(delta, bitsOf(block, task, model), block.columns)
    })
    sum(kernels, block, task, deltas)
  },
})

/** Probabilities must be probabilities. */
export const refuse = ({
  density: densities,
  epsilon: epsilons,
}: Pick<Params, "density" | "epsilon">): string | undefined => {
  const model = densities.findIndex(
    (density, index) =>
      density < 1 && !(density - known(epsilons[index]) > 0 && density + known(epsilons[index]) < 1),
  )
  return model === -1
    ? undefined
    : `density ${densities[model]} ± epsilon ${epsilons[model]} of model ${model + 1} leaves the range of probabilities (0, 1); make epsilon smaller`
}
