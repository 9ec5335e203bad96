/**
 * How far two checkpoints are apart: per tensor, and summed up by layer and unit.
 *
 * Sums are in f64 over values in f32. A relative difference is ‖b − a‖ / ‖a‖. What holds no numbers (integers, codes of
 * quantised weights and what goes with them) is compared byte for byte: where it is not the same, nothing is known of how
 * far it is apart, nor of the layer, the unit and the whole that it belongs to.
 */
import { at, entryOr, known, last } from "@hila/core/Lookup"
import { type Checkpoint, Quantisation, Safetensors, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "../MergeError.ts"
import * as Report from "../plan/Report.ts"
import * as Stacks from "../stacks/Stacks.ts"
import * as Values from "../engine/Values.ts"

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
  /** Null where a tensor was not compared; so below. */
  readonly total: Difference | null
  /** Of those that were compared. */
  readonly tensors: Readonly<Record<string, Difference>>
  /** By layer, with the module's name where there are several stacks; `outside` are embeddings, final norms and heads. */
  readonly layers: Readonly<Record<string, Difference | null>>
  /** By unit (key-value groups and MLPs), where the architecture is known. */
  readonly units: Readonly<Record<string, Difference | null>>
  /** Tensors that are not the same and hold no numbers, with their dtypes. */
  readonly notCompared: Readonly<Record<string, string>>
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
  const stacks = Stacks.of(a.tensors.keys())
  const notCompared = new Map<string, string>()
  const unknown = new Set<Sums>()
  const coded = new Set([a, b].flatMap((model) => [...(Quantisation.of(model)?.tensors ?? [])]))
  const total = zero()
  const of = (map: Map<string, Sums>, key: string) => {
    const sums = map.get(key) ?? zero()
    map.set(key, sums)
    return sums
  }
  for (const [name, first] of a.tensors) {
    const second = b.tensors.get(name)
    if (second === undefined) return yield* refuse(name, "the second model lacks it")
    if (first.shape.join() !== second.shape.join()) {
      return yield* refuse(name, `shape [${first.shape.join(", ")}] and [${second.shape.join(", ")}]`)
    }
    const sums = of(tensors, name)
    const own = entryOr(spans, name, []).map((span) => ({ ...span, sums: of(units, span.unit) }))
    const depth = stacks.layerOf(name)?.layer
    const module = stacks.modules.length === 1 ? "" : `${stacks.moduleOf(name).name} `
    const layer = of(layers, depth === undefined ? "outside" : `${module}${depth}`)
    if (!Values.isFloatTensor(first) || !Values.isFloatTensor(second) || coded.has(name)) {
      if (yield* Safetensors.sameBytes(first, second)) continue
      notCompared.set(name, [...new Set([first.dtype, second.dtype])].join(" and "))
      for (const without of [sums, layer, total, ...own.map((span) => span.sums)]) unknown.add(without)
      continue
    }
    const columns = first.shape.length === 0 ? 1 : last(first.shape)
    yield* Values.forEachPiece([first, second], (pieces, start) => {
      const [x, y] = [at(pieces, 0), at(pieces, 1)]
      for (let i = 0; i < x.length; i++) {
        add(sums, known(x[i]), known(y[i]))
        if (own.length === 0) continue
        const place = start + i
        const [row, column] =
          first.shape.length < 2 ? [place, 0] : [Math.floor(place / columns), place % columns]
        const span = own.find(
          ({ axis, end, start: begin }) =>
            (axis === 0 ? row : column) >= begin && (axis === 0 ? row : column) < end,
        )
        if (span !== undefined) add(span.sums, known(x[i]), known(y[i]))
      }
    })
    join(layer, sums)
    join(total, sums)
  }
  const extra = [...b.tensors.keys()].find((name) => !a.tensors.has(name))
  if (extra !== undefined) return yield* refuse(extra, "the first model lacks it")
  const told = (sums: Sums) => (unknown.has(sums) ? null : differenceOf(sums))
  const record = (map: ReadonlyMap<string, Sums>) =>
    Object.fromEntries([...map].map(([key, sums]) => [key, told(sums)]))
  const compared = [...tensors].filter(([, sums]) => !unknown.has(sums))
  return {
    total: told(total),
    tensors: Object.fromEntries(compared.map(([name, sums]) => [name, differenceOf(sums)])),
    layers: record(layers),
    units: record(units),
    notCompared: Object.fromEntries(notCompared),
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
          spans.set(slice.tensor, [...entryOr(spans, slice.tensor, []), { ...slice, unit: id }])
      return spans
    }),
    Effect.catch(() => Effect.succeed(new Map<string, ReadonlyArray<Span>>())),
  )

/** What a comparison says nothing of, in one line; undefined where it compared everything. */
export const gap = ({ notCompared, tensors }: Comparison): string | undefined => {
  const [first, ...others] = Object.entries(notCompared)
  if (first === undefined) return undefined
  const [name, dtype] = first
  const left = others.length + 1
  return `${left} of ${left + Object.keys(tensors).length} tensors hold no numbers, are not the same, and were not compared (${name}, ${dtype}${others.length === 0 ? "" : ", …"}): use full-precision models`
}

/** A comparison for people. */
export const render = (comparison: Comparison): string => {
  const { layers, tensors, total, units } = comparison
  const row = (name: string, difference: Difference | null) =>
    difference === null
      ? [name, "unknown", "", ""]
      : [
          name,
          difference.cosine.toFixed(6),
          difference.relative.toExponential(3),
          difference.largest.toExponential(3),
        ]
  const block = (title: string, of: Readonly<Record<string, Difference | null>>) => [
    [title, "cosine", "relative", "largest"],
    ...Object.entries(of).map(([name, difference]) => row(name, difference)),
  ]
  const parts = [
    block("tensor", tensors),
    block("layer", layers),
    ...(Object.keys(units).length === 0 ? [] : [block("unit", units)]),
    block("whole", { model: total }),
  ]
  const left = gap(comparison)
  return [...parts.map(Report.table), ...(left === undefined ? [] : [left])].join("\n\n")
}
