/**
 * PCB merging: parameters compete within a task by size and between tasks by agreement, and the best are balanced.
 *
 *     a_t = |δ_t| winsorised at its quantiles q and 1 − q,   â = (a − min a) / (max a − min a),   n = number of tasks
 *     b_t = exp(n â_t²) · inter_t,   s_t = b_t cut off below its (1 − r)-quantile and stretched to [0, 1]
 *     W = W_0 + λ Σ_t w_t s_t sign(δ_t) a_t / max(Σ_t s_t, 1e-12)
 *     inter v1: tanh(δ_t Σ_u δ_u)   v2: tanh(δ_t Σ_u sign(δ_u) â_u)   v3: Σ_u tanh(sign(δ_t) â_t sign(δ_u) â_u)
 *
 * Source: Du et al. 2024 (arXiv 2410.02396), in the three forms of the authors' code. Defaults: variant v1, r 0.1, λ 1,
 * q 1e-4 for v1 and 0.01 else, quantiles over the whole model (`scope: global`). A task vector of zeros counts for nothing
 * (there the authors' code divides by zero).
 */
import { known } from "@hila/core/Lookup"
import type { Block, Method, Pass, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Definition from "./Definition.ts"
import * as Largest from "./Largest.ts"
import * as shared from "./shared.ts"

const parameters = {
  weight: { ...shared.weight, default: 1 },
  variant: {
    level: "merge",
    kind: ["v1", "v2", "v3"],
    default: "v1",
    description: "which form of the competition between tasks",
  },
  r: {
    level: "merge",
    kind: "number",
    default: 0.1,
    range: [0, 1],
    description: "share of each task vector's elements that stay",
  },
  q: {
    level: "merge",
    kind: "number",
    default: 0,
    range: [0, 0.5],
    description:
      "share of the elements at either end that is winsorised; 0: 1e-4 for v1, 0.01 for the others",
  },
  lambda: shared.lambda,
  scope: { ...shared.scope, default: "global" },
} as const

type Params = Definition.ParamsOf<typeof parameters>

/** Least and greatest value. */
type Bounds = readonly [least: number, greatest: number]

interface State extends Largest.State {
  /** Of the winsorised magnitudes, per model. */
  readonly sizes: ReadonlyArray<Bounds>
  /** Of the scores, per model. */
  readonly scores: ReadonlyArray<Bounds>
}

const clamp = (value: number, [least, greatest]: Bounds) => Math.min(Math.max(value, least), greatest)

/** The share that is winsorised. */
const tailOf = ({ q, variant }: Params) => (q > 0 ? q : variant === "v1" ? 1e-4 : 0.01)

/** Where a value lies between the bounds, 0 to 1; 0 where they coincide. */
const place = (value: number, bounds: Bounds) => {
  const [least, greatest] = bounds
  return greatest > least ? (clamp(value, bounds) - least) / (greatest - least) : 0
}

/** Bounds of `elements` values, sorted ascending, at ⌊n·low⌋ and ⌊n·high⌋ − 1: their ranks from above. */
const ranks = (elements: number, low: number, high: number): readonly [number, number] => [
  elements - Math.min(Math.floor(elements * low), elements - 1),
  elements - Math.max(Math.floor(elements * high) - 1, 0),
]

/** The scores b of every model. */
const scoresOf = (
  block: Block,
  deltas: ReadonlyArray<Float32Array>,
  { variant }: Params,
  sizes: ReadonlyArray<Bounds>,
): ReadonlyArray<Float32Array> => {
  const out = deltas.map(() => block.temporary())
  const models = deltas.length
  const signed = new Float64Array(models)
  for (let i = 0; i < block.out.length; i++) {
    let [sum, sumSigned] = [0, 0]
    for (let t = 0; t < models; t++) {
      const delta = known(known(deltas[t])[i])
      sum += delta
      signed[t] = Math.sign(delta) * place(Math.abs(delta), known(sizes[t]))
      sumSigned += known(signed[t])
    }
    for (let t = 0; t < models; t++) {
      const delta = known(known(deltas[t])[i])
      let inter = variant === "v1" ? Math.tanh(delta * sum) : Math.tanh(delta * sumSigned)
      if (variant === "v3")
        inter = signed.reduce((total, other) => total + Math.tanh(known(signed[t]) * other), 0)
      known(out[t])[i] = Math.exp(models * known(signed[t]) ** 2) * inter
    }
  }
  return out
}

/** Scores as two streams of magnitudes per model: those above zero, and those below. */
const halves = (
  kernels: Kernels,
  block: Block,
  task: Task<Params>,
  state: State,
): ReadonlyArray<Float32Array> =>
  scoresOf(block, TaskVector.all(kernels, block), task.params, state.sizes).flatMap((scores) => {
    const below = block.temporary()
    for (let i = 0; i < scores.length; i++) {
      const score = known(scores[i])
      below[i] = score < 0 ? -score : 0
      if (score < 0) scores[i] = 0
    }
    return [scores, below]
  })

/** The k-th largest of signed values, as ranks in both halves: 0 where it does not lie there. */
const inHalves = (k: number, elements: number, above: number, below: number): readonly [number, number] => {
  if (k <= above) return [k, 0]
  const zeros = elements - above - below
  return k <= above + zeros ? [0, 0] : [0, below - (k - above - zeros) + 1]
}

const withClose = (
  passes: ReadonlyArray<Pass<Params, State, unknown>>,
  finish: (state: State) => State,
): ReadonlyArray<Pass<Params, State, unknown>> =>
  passes.map((pass, index) =>
    index < passes.length - 1
      ? pass
      : { ...pass, close: (task, totals, state) => finish(pass.close(task, totals, state)) },
  )

const sizePasses = ({ models, params }: Task<Params>) =>
  withClose(
    Largest.passes<Params, State>({
      streams: models,
      each: 2,
      values: TaskVector.all,
      keep: ({ elements }) =>
        Array.from({ length: models }, () => [...ranks(elements, tailOf(params), 1 - tailOf(params))]),
      ties: "all",
    }),
    (state) => ({
      ...state,
      sizes: state.cuts.map(([low, high]): Bounds => [
        Largest.magnitudeOf(known(low)),
        Largest.magnitudeOf(known(high)),
      ]),
    }),
  )

const scorePasses = ({ models, params }: Task<Params>) =>
  withClose(
    Largest.passes<Params, State>({
      streams: 2 * models,
      each: 2,
      values: halves,
      countNonzero: true,
      ties: "all",
      keep: ({ elements }, nonzero) =>
        Array.from({ length: models }, (_, t) => {
          const [above, below] = [known(nonzero[2 * t]), known(nonzero[2 * t + 1])]
          const found = ranks(elements, 1 - params.r, 1).map((k) => inHalves(k, elements, above, below))
          return [found.map(([k]) => k), found.map(([, k]) => k)]
        }).flat(),
    }),
    (state) => ({ ...state, scores: Array.from({ length: models }, (_, t) => scoreBounds(state, t)) }),
  )

const scoreBounds = ({ cuts, searches }: State, t: number): Bounds => {
  const value = (k: number) => {
    if (known(known(searches[2 * t])[k]).keep > 0) return Largest.magnitudeOf(known(known(cuts[2 * t])[k]))
    return known(known(searches[2 * t + 1])[k]).keep > 0
      ? -Largest.magnitudeOf(known(known(cuts[2 * t + 1])[k]))
      : 0
  }
  return [value(0), value(1)]
}

export const method: Method<Params, State> = {
  name: "pcb",
  module: import.meta.url,
  group: ({ scope }) => (scope === "global" ? "pcb" : undefined),
  start: () => ({ ...Largest.start, sizes: [], scores: [] }),
  passes: (task) => [...sizePasses(task), ...scorePasses(task)],
  carry: () => undefined,
  combine: (kernels, block, task, { scores, sizes }) => {
    const deltas = TaskVector.all(kernels, block)
    const all = scoresOf(block, deltas, task.params, sizes)
    for (let i = 0; i < block.out.length; i++) {
      let total = 0
      for (const [t, scored] of all.entries()) total += place(known(scored[i]), known(scores[t]))
      for (const [t, delta] of deltas.entries()) {
        const share = place(known(known(all[t])[i]), known(scores[t])) / Math.max(total, 1e-12)
        delta[i] =
          known(task.params.weight[t]) *
          share *
          Math.sign(known(delta[i])) *
          clamp(Math.abs(known(delta[i])), known(sizes[t]))
      }
    }
    for (const delta of TaskVector.weigh(kernels, block, task, deltas)) kernels.addScaled(block.out, delta, 1)
    kernels.applyTo(block.out, block.base, task.params.lambda)
  },
}

export const definition = Definition.make({
  name: "pcb",
  version: 1,
  summary: "lets elements compete within a task by size and between tasks by agreement",
  sources: [{ text: "Du et al. 2024", arxiv: "2410.02396" }],
  parameters,
  base: "required",
  models: [1, Infinity],
  taskVectors: true,
  method: () => method,
})
