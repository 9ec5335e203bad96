/**
 * TIES: trim each task vector to its largest elements, elect a sign in each position, average what agrees.
 *
 *     δ̂_t = the k = ⌊density · n⌋ largest of δ_t by magnitude, else 0
 *     s    = sign Σ_t w_t δ̂_t,   W = W_0 + λ · Σ_{t: sign = s} w_t δ̂_t / Σ_{t: sign = s} w_t
 *
 * Source: Yadav et al. 2023 (arXiv 2306.01708), algorithm 1. Defaults: density 1, normalize true, λ 1, rescale none.
 * Mergekit 0.1.5 trims each tensor for itself (`scope: tensor`), lets the weights vote (`elect: weighted`) and counts
 * a vote of 0 as positive. `profile: paper` trims the whole model (`scope: global`, and every element equal to the
 * smallest kept one stays), votes without weights, and gives a vote of 0 the sign that wins in most positions.
 */
import { at } from "@hila/core/Lookup"
import type { Method, Pass, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import * as Definition from "./Definition.ts"
import * as Largest from "./Largest.ts"
import * as shared from "./shared.ts"
import * as Rescale from "./Rescale.ts"
import * as Sum from "./Sum.ts"

const parameters = {
  weight: shared.weight,
  density: shared.density,
  normalize: shared.normalize(true),
  rescale: shared.rescale("none", "l1", ["none", "l1"]),
  lambda: shared.lambda,
  scope: shared.scope,
  elect: shared.elect,
  zero_vote: {
    level: "merge",
    kind: ["positive", "majority"],
    default: { tool: "positive", paper: "majority" },
    description: "the sign of a position whose votes sum to 0",
  },
  int8_mask: shared.int8Mask,
} as const

type Params = Definition.ParamsOf<typeof parameters>

interface State extends Largest.State, Rescale.State {
  readonly zero: 1 | -1
}

type TiesPass = Pass<Params, State, Largest.Carry>

const trims = ({ density }: Params) => density.some((share) => share < 1)

/** Counts the positions where + and where − wins, by the trimmed deltas. */
const majority: TiesPass = {
  counts: 2,
  reduce: (kernels, block, task, state, { counts }, carry) => {
    const deltas = TaskVector.all(kernels, block)
    if (trims(task.params))
      for (const [t, delta] of deltas.entries()) Largest.keep(kernels, delta, state, carry, t)
    for (const vote of Sum.votes(kernels, block, task, deltas)) {
      if (vote > 0) counts[0] = at(counts, 0) + 1
      if (vote < 0) counts[1] = at(counts, 1) + 1
    }
  },
  close: (_, { counts }, state) => ({ ...state, zero: at(counts, 1) > at(counts, 0) ? -1 : 1 }),
}

const passes = ({ models, params }: Task<Params>): ReadonlyArray<TiesPass> => [
  ...(trims(params)
    ? Largest.passes<Params, State>({
        streams: models,
        each: 1,
        values: TaskVector.all,
        keep: ({ elements }) => params.density.map((share) => [Math.floor(Math.min(share, 1) * elements)]),
        ties: params.scope === "global" ? "all" : "first",
      })
    : []),
  ...(params.rescale === "l1" && trims(params)
    ? [
        Rescale.l1<Params, State, Largest.Carry>(models, (kernels, _, __, delta, model, state, carry) =>
          Largest.keep(kernels, delta, state, carry, model),
        ),
      ]
    : []),
  ...(params.zero_vote === "majority" ? [majority] : []),
]

export const method: Method<Params, State, Largest.Carry> = {
  name: "ties",
  module: import.meta.url,
  group: ({ density, scope }) => (scope === "global" ? `ties ${density.join(" ")}` : undefined),
  start: () => ({ ...Largest.start, factors: [], zero: 1 }),
  passes,
  carry: Largest.carry,
  combine: (kernels, block, task, state, carry) => {
    const deltas = Rescale.thinned(kernels, block, state, (delta, model) => {
      if (trims(task.params)) Largest.keep(kernels, delta, state, carry, model)
    })
    Sum.elected(kernels, block, task, deltas, state.zero)
  },
}

export const definition = Definition.make({
  name: "ties",
  version: 1,
  summary: "trims task vectors to their largest elements, elects signs, and averages what agrees",
  sources: [{ text: "Yadav et al. 2023", arxiv: "2306.01708", place: "algorithm 1" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
  departure: ({ density, scope }, shape) => {
    const none = (share: number) => share > 0 && Math.floor(share * Definition.elementsOf(shape)) === 0
    return scope === "tensor" && density.some(none)
      ? "the density keeps no element of a model here; mergekit 0.1.5 would keep one"
      : undefined
  },
})
