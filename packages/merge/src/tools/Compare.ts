/**
 * How far two checkpoints are apart: per tensor, and summed up by layer and unit.
 *
 * Sums are in f64 over values in f32. A relative difference is ‖b − a‖ / ‖a‖.
 */
import { type Checkpoint, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "../MergeError.ts"
import * as Report from "../preflight/Report.ts"
import * as TensorName from "../recipe/TensorName.ts"
import * as Values from "./Values.ts"

/** A difference in numbers. */
export interface Difference {
  /** Cosine of the angle between the weights; 1 where both are zero. */
  readonly cosine: number
  /** ‖b − a‖ / ‖a‖; 0 where both are zero. */
  readonly relative: number
  /** The largest |b − a|. */
  readonly largest: number
}

/** Two checkpoints compared. */
export interface Comparison {
  readonly total: Difference
  readonly tensors: Readonly<Record<string, Difference>>
  /** By layer; `outside` are embeddings, final norm and head. */
  readonly layers: Readonly<Record<string, Difference>>
  /** By unit (key-value groups and MLPs), where the architecture is known. */
  readonly units: Readonly<Record<string, Difference>>
}

interface Sums {
  ab: number
  aa: number
  bb: number
  dd: number
  largest: number
}

const zero = (): Sums => ({ ab: 0, aa: 0, bb: 0, dd: 0, largest: 0 })

const add = (sums: Sums, a: number, b: number) => {
  const difference = b - a
  sums.ab += a * b
  sums.aa += a * a
  sums.bb += b * b
  sums.dd += difference * difference
  sums.largest = Math.max(sums.largest, Math.abs(difference))
}

const join = (into: Sums, from: Sums) => {
  into.ab += from.ab
  into.aa += from.aa
  into.bb += from.bb
  into.dd += from.dd
  into.largest = Math.max(into.largest, from.largest)
}

const differenceOf = ({ aa, ab, bb, dd, largest }: Sums): Difference => ({
  cosine: aa === 0 && bb === 0 ? 1 : aa === 0 || bb === 0 ? 0 : Math.min(1, ab / Math.sqrt(aa * bb)),
  relative: dd === 0 ? 0 : Math.sqrt(dd / aa),
  largest,
})

/** Compares `b` with `a`; both need the same tensors. */
export const compare = Effect.fn("compare")(function* (a: Checkpoint.Checkpoint, b: Checkpoint.Checkpoint) {
  const refuse = (tensor: string, problem: string) =>
    new MergeError({ method: "compare", input: "models", tensor, problem })
  const spans = yield* spansOf(a)
  const units = new Map<string, Sums>()
  const tensors = new Map<string, Sums>()
  const layers = new Map<string, Sums>()
  const total = zero()
  const of = (map: Map<string, Sums>, key: string) => map.get(key) ?? map.set(key, zero()).get(key)!
  for (const [name, first] of a.tensors) {
    const second = b.tensors.get(name)
    if (second === undefined) return yield* refuse(name, "the second model lacks it")
    if (first.shape.join() !== second.shape.join()) {
      return yield* refuse(name, `shape [${first.shape.join(", ")}] and [${second.shape.join(", ")}]`)
    }
    if (!Values.isFloatTensor(first) || !Values.isFloatTensor(second)) continue
    const sums = of(tensors, name)
    const own = (spans.get(name) ?? []).map((span) => ({ ...span, sums: of(units, span.unit) }))
    const columns = first.shape.at(-1) ?? 1
    yield* Values.forEachPiece([first, second], ([x, y], start) => {
      for (let i = 0; i < x!.length; i++) {
        add(sums, x![i]!, y![i]!)
        if (own.length === 0) continue
        const at = start + i
        const [row, column] = first.shape.length < 2 ? [at, 0] : [Math.floor(at / columns), at % columns]
        const span = own.find(
          ({ axis, end, start: begin }) =>
            (axis === 0 ? row : column) >= begin && (axis === 0 ? row : column) < end,
        )
        if (span !== undefined) add(span.sums, x![i]!, y![i]!)
      }
    })
    const layer = TensorName.layerOf(name)?.layer
    join(of(layers, layer === undefined ? "outside" : String(layer)), sums)
    join(total, sums)
  }
  const extra = [...b.tensors.keys()].find((name) => !a.tensors.has(name))
  if (extra !== undefined) return yield* refuse(extra, "the first model lacks it")
  const record = (map: ReadonlyMap<string, Sums>) =>
    Object.fromEntries([...map].map(([key, sums]) => [key, differenceOf(sums)]))
  return {
    total: differenceOf(total),
    tensors: record(tensors),
    layers: record(layers),
    units: record(units),
  } satisfies Comparison
})

interface Span extends Unit.Slice {
  readonly unit: string
}

/** The slices of units by tensor; none where the architecture has no record. */
const spansOf = (checkpoint: Checkpoint.Checkpoint) =>
  Unit.partition(checkpoint, "kvGroup").pipe(
    Effect.map(({ units }) => {
      const spans = new Map<string, Array<Span>>()
      for (const { id, slices } of units)
        for (const slice of slices)
          spans.set(slice.tensor, [...(spans.get(slice.tensor) ?? []), { ...slice, unit: id }])
      return spans
    }),
    Effect.catch(() => Effect.succeed(new Map<string, ReadonlyArray<Span>>())),
  )

/** A comparison for people. */
export const render = ({ layers, tensors, total, units }: Comparison): string => {
  const row = (name: string, { cosine, largest, relative }: Difference) => [
    name,
    cosine.toFixed(6),
    relative.toExponential(3),
    largest.toExponential(3),
  ]
  const block = (title: string, of: Readonly<Record<string, Difference>>) => [
    [title, "cosine", "relative", "largest"],
    ...Object.entries(of).map(([name, difference]) => row(name, difference)),
  ]
  const parts = [
    block("tensor", tensors),
    block("layer", layers),
    ...(Object.keys(units).length === 0 ? [] : [block("unit", units)]),
    block("whole", { model: total }),
  ]
  return parts.map(Report.table).join("\n\n")
}
