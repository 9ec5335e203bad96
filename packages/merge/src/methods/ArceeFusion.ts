/**
 * Arcee fusion: takes over the other model's weights where they matter most.
 *
 *     I = |W_1 − W_0| · KL(softmax(W_1 row) ‖ softmax(W_0 row)),   W = W_0 + [I ≥ median(I) + 1.5 · IQR(I)] (W_1 − W_0)
 *
 * Source: the existing tool's method of that name. It has no parameters. Quantiles are exact at any size, with linear
 * interpolation between neighbours; the tool takes them from a random sample of a million elements of larger tensors.
 * Divergences of fine-tuned rows are around 1e-8 to 1e-5 and computed in f64 here; the tool's, in f32, are off by up to
 * 5e-7, which decides one or two of a hundred of its choices.
 */
import type { Block, Method } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import { elementsOf, type Definition, untyped } from "./Definition.ts"
import * as Largest from "./Largest.ts"

interface State extends Largest.State {
  readonly threshold: number
}

/** KL(softmax(to) ‖ softmax(from)) of one row, in f64. */
const divergence = (to: Float32Array, from: Float32Array): number => {
  let [mostTo, mostFrom] = [-Infinity, -Infinity]
  for (let i = 0; i < to.length; i++) {
    mostTo = Math.max(mostTo, to[i]!)
    mostFrom = Math.max(mostFrom, from[i]!)
  }
  let [sumTo, sumFrom, cross] = [0, 0, 0]
  for (let i = 0; i < to.length; i++) {
    const [a, b] = [to[i]! - mostTo, from[i]! - mostFrom]
    const p = Math.exp(a)
    sumTo += p
    sumFrom += Math.exp(b)
    cross += p * (a - b)
  }
  return cross / sumTo - Math.log(sumTo) + Math.log(sumFrom)
}

/** How much each element matters, `[rows, columns]`, not negative. */
const importance = (kernels: Kernels, { base, columns, models, rows, temporary }: Block): Float32Array => {
  const other = models[0]!
  const out = temporary()
  kernels.subtract(out, other, base)
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * columns, (row + 1) * columns]
    const weight = Math.fround(divergence(other.subarray(start, end), base.subarray(start, end)))
    for (let i = start; i < end; i++) out[i] = Math.abs(out[i]!) * weight
  }
  return out
}

const quantiles = [0.25, 0.5, 0.75]

/** How many values are at least as large as the neighbours of each quantile: two ranks per quantile, from above. */
const ranks = (elements: number): ReadonlyArray<number> =>
  quantiles.flatMap((quantile) => {
    const at = quantile * (elements - 1)
    return [elements - Math.floor(at), elements - Math.min(Math.ceil(at), elements - 1)]
  })

export const method: Method<unknown, State> = {
  name: "arcee_fusion",
  module: import.meta.url,
  block: "rows",
  start: () => ({ ...Largest.start, threshold: 0 }),
  passes: () => {
    const [high, low] = Largest.passes<unknown, State>({
      streams: 1,
      each: 2 * quantiles.length,
      values: (kernels, block) => [importance(kernels, block)],
      keep: ({ elements }) => [ranks(elements)],
      ties: "all",
    })
    return [
      high!,
      {
        ...low!,
        close: (task, totals, state) => {
          const closed = low!.close(task, totals, state)
          const values = closed.cuts[0]!.map(Largest.magnitudeOf)
          const [first, median, third] = quantiles.map((quantile, index) => {
            const at = quantile * (task.elements - 1)
            const [below, above] = [values[2 * index]!, values[2 * index + 1]!]
            return below + (above - below) * (at - Math.floor(at))
          })
          return { ...closed, threshold: Math.fround(median! + 1.5 * (third! - first!)) }
        },
      },
    ]
  },
  carry: () => undefined,
  combine: (kernels, block, _, { threshold }) => {
    const { base, models, out } = block
    const matters = importance(kernels, block)
    const other = models[0]!
    for (let i = 0; i < out.length; i++)
      out[i] = matters[i]! < threshold ? base[i]! : base[i]! + Math.fround(other[i]! - base[i]!)
  },
}

export const definition: Definition = {
  parameters: {},
  base: "required",
  models: [1, 1],
  taskVectors: false,
  method: () => untyped(method),
  departure: (_, shape) =>
    elementsOf(shape) > 1e6
      ? "quantiles are exact; the existing tool takes them from a random sample of a million elements"
      : undefined,
}
