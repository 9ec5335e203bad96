/**
 * The k largest magnitudes of a stream of values, exactly, in two passes and without sorting.
 *
 * The bit pattern of |x| orders like |x|. The first pass counts its upper 16 bits, the second its lower 15 inside the
 * bin where the k-th largest value lies; then the threshold is known to the last bit. Of the values equal to it the
 * first ones by index stay, so each chunk is told how many are left when it begins. Several streams (one per model) and
 * several k of each are sought at once.
 */
import { at, known } from "@hila/core/Lookup"
import type { Block, ChunkCounts, Pass, Reduced, Task } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"

const HIGH = 1 << 16
const LOW = 1 << 15
const NONE = 0x7fffffff

/** A search for the `keep` largest: the bin of the k-th, and how many lie above it. */
interface Search {
  readonly keep: number
  readonly bin: number
  readonly above: number
}

/** What separates the `keep` largest from the rest. */
export interface Cut {
  readonly threshold: number
  /** Of the values equal to the threshold, how many of the first ones are told from the others. */
  readonly ties: number
  /** By chunk: how many of them are left where it begins, if not all equal values go one way. */
  readonly left: ReadonlyMap<string, number> | undefined
}

/** The passes' own part of a method's state. Both arrays are `[stream][k]`. */
export interface State {
  readonly searches: ReadonlyArray<ReadonlyArray<Search>>
  readonly cuts: ReadonlyArray<ReadonlyArray<Cut>>
}

export const start: State = { searches: [], cuts: [] }

const keyOf = (tensor: string, start: number) => `${start} ${tensor}`

type Ties = "first" | "last" | "all"

/** The two passes of a search; the streams' values and the numbers to keep are the method's. */
export const passes = <P, S extends State>(options: {
  readonly streams: number
  /** How many k per stream. */
  readonly each: number
  /** The values of each stream in a block; called once per block and pass. */
  readonly values: (kernels: Kernels, block: Block, task: Task<P>, state: S) => ReadonlyArray<Float32Array>
  /** The numbers to keep, `[stream][k]`; with `countNonzero`, `nonzero[stream]` values are not 0. */
  readonly keep: (task: Task<P>, nonzero: ReadonlyArray<number>) => ReadonlyArray<ReadonlyArray<number>>
  /**
   * Which of the values equal to the threshold are among the largest: the first ones by index, the last ones, or all of
   * them. `first` by default.
   */
  readonly ties?: Ties
  readonly countNonzero?: boolean
  /** Whether zeros are values like any other, of which no more are among the largest than asked for; false by default. */
  readonly zeros?: boolean
}): ReadonlyArray<Pass<P, S, unknown>> => {
  const { each, streams, values } = options
  return [
    {
      counts: streams * HIGH + (options.countNonzero === true ? streams : 0),
      reduce: (kernels, block, task, state, { counts }) => {
        for (const [stream, of] of values(kernels, block, task, state).entries()) {
          kernels.countHigh(counts.subarray(stream * HIGH, (stream + 1) * HIGH), of)
          if (options.countNonzero !== true) continue
          const at = streams * HIGH + stream
          counts[at] = known(counts[at]) + kernels.countNonzero(of)
        }
      },
      close: (task, { counts }, state) => {
        const bins = Array.from({ length: streams }, (_, stream) =>
          counts.subarray(stream * HIGH, (stream + 1) * HIGH),
        )
        const keep = options.keep(task, [...counts.subarray(streams * HIGH)])
        const searches = bins.map((of, stream) =>
          at(keep, stream).map((k) => ({ keep: k, ...descend(of, k) })),
        )
        return { ...state, searches }
      },
    },
    {
      counts: streams * each * LOW,
      countsByChunk: options.ties !== "all",
      reduce: (kernels, block, task, state, { counts }) => {
        for (const [stream, of] of values(kernels, block, task, state).entries()) {
          for (const [index, { bin, keep }] of at(state.searches, stream).entries()) {
            const at = (stream * each + index) * LOW
            if (keep > 0) kernels.countLow(counts.subarray(at, at + LOW), of, bin)
          }
        }
      },
      close: (_, totals, state) => ({
        ...state,
        cuts: state.searches.map((of, stream) =>
          of.map((search, index) => cutOf(search, totals, (stream * each + index) * LOW, options)),
        ),
      }),
    },
  ]
}

const cutOf = (
  { above, bin, keep }: Search,
  { chunks, counts }: Reduced,
  at: number,
  { ties: which = "first", zeros = false }: { readonly ties?: Ties; readonly zeros?: boolean },
): Cut => {
  if (keep === 0) return { threshold: NONE, ties: 0, left: undefined }
  const low = descend(counts.subarray(at, at + LOW), keep - above)
  const threshold = ((bin << 15) | low.bin) >>> 0
  const equal = known(counts[at + low.bin])
  const wanted = keep - above - low.above
  // Where all equal values belong, or are zeros and so the same as dropped, there is nothing to count.
  if (which === "all" || wanted >= equal || (threshold === 0 && !zeros)) {
    return { threshold, ties: which === "last" ? 0 : NONE, left: undefined }
  }
  const ties = which === "last" ? equal - wanted : wanted
  return { threshold, ties, left: remaining(chunks, at + low.bin, ties) }
}

const remaining = (chunks: ReadonlyArray<ChunkCounts>, index: number, ties: number) => {
  const left = new Map<string, number>()
  let rest = ties
  for (const { counts, indices, start: first, tensor } of chunks) {
    left.set(keyOf(tensor, first), rest)
    const found = indices.indexOf(index)
    if (found !== -1) rest = Math.max(0, rest - at(counts, found))
  }
  return left
}

/** Cuts inside a chunk, block after block: ties are used up. */
export interface Carry {
  /** `[stream][k]` ties left. */
  readonly left: ReadonlyArray<Array<number>>
}

/** The ties that are left where a chunk begins. */
export const carry = (task: Task, { cuts }: State, chunk: { readonly start: number }): Carry => ({
  left: cuts.map((of) => of.map(({ left, ties }) => left?.get(keyOf(task.tensor, chunk.start)) ?? ties)),
})

/** Sets to 0 what is not among the largest of cut `k` of a stream. */
export const keep = (
  kernels: Kernels,
  values: Float32Array,
  state: State,
  { left }: Carry,
  stream: number,
  k = 0,
) => {
  const cut = at(at(state.cuts, stream), k)
  const of = at(left, stream)
  const kept = kernels.keepLargest(values, cut.threshold, at(of, k))
  if (of[k] !== NONE) of[k] = at(of, k) - kept
}

/** Sets to 0 what is not among the largest of cut `k` of a stream whose last ties belong. */
export const keepLast = (
  kernels: Kernels,
  values: Float32Array,
  state: State,
  { left }: Carry,
  stream: number,
  k = 0,
) => {
  const { threshold } = at(at(state.cuts, stream), k)
  kernels.keepLargest(values, threshold, NONE)
  at(left, stream)[k] = zeroEqual(values, threshold, at(at(left, stream), k), true)
}

/** Sets to 0 what is among the largest of cut `k` of a stream whose last ties belong. */
export const dropLast = (
  kernels: Kernels,
  values: Float32Array,
  state: State,
  { left }: Carry,
  stream: number,
  k = 0,
) => {
  const { threshold } = at(at(state.cuts, stream), k)
  kernels.dropLargest(values, threshold, 0)
  at(left, stream)[k] = zeroEqual(values, threshold, at(at(left, stream), k), false)
}

/** Sets to 0 the first `ties` values equal to the threshold, or all but these; gives how many of the first are left. */
const zeroEqual = (values: Float32Array, threshold: number, ties: number, first: boolean): number => {
  if (threshold === 0 || threshold === NONE || (first && ties === 0)) return ties
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  let left = ties
  for (let i = 0; i < bits.length; i++) {
    if ((known(bits[i]) & NONE) !== threshold) continue
    const isFirst = left > 0
    if (isFirst) left -= 1
    if (isFirst === first) bits[i] = 0
    if (first && left === 0) return 0
  }
  return left
}

/** The highest bin at which the counts summed from above reach `keep`, and the sum above it. */
const descend = (counts: Float64Array, wanted: number): { readonly bin: number; readonly above: number } => {
  let above = 0
  for (let bin = counts.length - 1; bin > 0; bin--) {
    if (above + known(counts[bin]) >= wanted) return { bin, above }
    above += known(counts[bin])
  }
  return { bin: 0, above }
}

/** The magnitude at which a cut lies. */
export const magnitudeOf = ({ threshold }: Cut): number =>
  at(new Float32Array(new Uint32Array([threshold]).buffer), 0)
