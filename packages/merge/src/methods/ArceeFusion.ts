/**
 * Arcee fusion: takes over the other model's weights where they matter most.
 *
 *     I = |W_1 − W_0| · KL(softmax(W_1 row) ‖ softmax(W_0 row)),   W = W_0 + [I ≥ t] (W_1 − W_0),
 *     t = I_(n/2) + 1.5 · (I_(3n/4) − I_(n/4))
 *
 * I_(k) is the k-th smallest of the tensor's n values, k rounded down and at least 1, of the two in the middle the lower.
 * Source: mergekit 0.1.5's method of that name. It has no parameters. Quantiles are exact at any size; the tool takes
 * them from a random sample of a million elements of larger tensors. `RowDivergence` says in what arithmetic.
 */
import { at, known } from "@hila/core/Lookup"
import type { Block, Method } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Definition from "./Definition.ts"
import * as Largest from "./Largest.ts"
import * as RowDivergence from "./RowDivergence.ts"

const parameters = {} as const

interface State extends Largest.State {
  readonly threshold: number
}

/** How much each element matters, `[rows, columns]`. Rounding may make a row's divergence, and so all of it, negative. */
const importance = (kernels: Kernels, { base, columns, models, rows, temporary }: Block): Float32Array => {
  const other = at(models, 0)
  const out = temporary()
  kernels.subtract(out, other, base)
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * columns, (row + 1) * columns]
    const weight = RowDivergence.of(other.subarray(start, end), base.subarray(start, end))
    for (let i = start; i < end; i++) out[i] = Math.abs(known(out[i])) * weight
  }
  return out
}

/** The positive values, and the magnitudes of the negative ones; 0 elsewhere. */
const sides = (kernels: Kernels, block: Block): ReadonlyArray<Float32Array> => {
  const [above, below] = [importance(kernels, block), block.temporary()]
  for (let i = 0; i < above.length; i++) {
    below[i] = Math.max(-known(above[i]), 0)
    above[i] = Math.max(known(above[i]), 0)
  }
  return [above, below]
}

/** The ranks of first quartile, median and third quartile, from the smallest, 1 … n. */
const ranks = (elements: number): ReadonlyArray<number> => [
  Math.max(Math.floor(elements / 4), 1),
  Math.floor((elements + 1) / 2),
  Math.max(Math.floor((3 * elements) / 4), 1),
]

export const method: Method<unknown, State> = {
  name: "arcee_fusion",
  module: import.meta.url,
  block: "rows",
  start: () => ({ ...Largest.start, threshold: 0 }),
  passes: () => {
    const [high, low] = Largest.passes<unknown, State>({
      streams: 2,
      each: 3,
      values: sides,
      // The k-th smallest is the k-th largest of the negative ones, 0, or so many from above among the positive ones.
      keep: ({ elements }, [positive = 0, negative = 0]) => [
        ranks(elements).map((rank) => (rank > elements - positive ? elements - rank + 1 : 0)),
        ranks(elements).map((rank) => (rank <= negative ? rank : 0)),
      ],
      ties: "all",
      countNonzero: true,
    })
    return [
      known(high),
      {
        ...known(low),
        close: (task, totals, state) => {
          const closed = known(low).close(task, totals, state)
          const [first, median, third] = ranks(task.elements).map((_, index) => {
            const [above, below] = closed.cuts.map((cuts, side) =>
              at(at(state.searches, side), index).keep === 0 ? 0 : Largest.magnitudeOf(at(cuts, index)),
            )
            return known(above) - known(below)
          })
          const range = Math.fround(1.5 * Math.fround(known(third) - known(first)))
          return { ...closed, threshold: Math.fround(known(median) + range) }
        },
      },
    ]
  },
  carry: () => undefined,
  combine: (kernels, block, _, { threshold }) => {
    const { base, models, out } = block
    const matters = importance(kernels, block)
    const other = at(models, 0)
    for (let i = 0; i < out.length; i++)
      out[i] =
        known(matters[i]) >= threshold
          ? known(base[i]) + Math.fround(known(other[i]) - known(base[i]))
          : known(base[i])
  },
}

export const definition = Definition.make({
  name: "arcee_fusion",
  version: 1,
  summary: "takes over the other model's weights where they matter most",
  sources: [{ text: "mergekit 0.1.5" }],
  parameters,
  base: "required",
  models: [1, 1],
  taskVectors: false,
  method: () => method,
  departure: (_, shape) =>
    Definition.elementsOf(shape) > 1e6
      ? "quantiles are exact; mergekit 0.1.5 takes them from a random sample of a million elements"
      : undefined,
})
