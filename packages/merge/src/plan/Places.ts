/**
 * The tensors of a result in order, and what each is called in its sources.
 *
 * Each stack counts its layers by itself: a range, a gradient and a layer's number are within it. What comes before the
 * layers (embeddings) is of a stack's first slice, what comes after them (norm, head) of its last.
 */
import { at, entry } from "@hila/core/Lookup"
import { Buffers } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import * as TensorName from "../names/TensorName.ts"
import type * as Value from "./Value.ts"
import * as Assignment from "../stacks/Assignment.ts"

/** A tensor of the result and what it is called in each source. */
export interface Place {
  readonly subject: Value.Subject
  readonly slice: Slices.Slice
  readonly nameIn: (source: Slices.Source) => string
  /** Its name in the model that the result is like. */
  readonly reference: string
}

/** The places of a recipe's result; fails where ranges end too late or sources differ in what they have. */
export const of = Effect.fnUntraced(function* (
  input: Assignment.Input,
): Effect.fn.Return<ReadonlyArray<Place>, RecipeError> {
  const layoutOf = Assignment.layouts(input)
  const places: Array<Place> = []
  for (const assignment of yield* Assignment.of(input)) {
    const work = { ...assignment, input, layoutOf }
    for (const [index, slice] of assignment.slices.entries()) {
      for (const source of Slices.everySource(slice)) yield* checkRange(work, source)
      yield* checkNames(work, slice, index)
    }
    places.push(...placesOf(work))
  }
  return places
})

interface Work extends Assignment.Assignment {
  readonly input: Assignment.Input
  readonly layoutOf: Assignment.LayoutOf
}

const checkRange = Effect.fnUntraced(function* (work: Work, source: Slices.Source) {
  const { input, layoutOf, module, ranged } = work
  const { path, range, reference } = source
  const layers = Assignment.depthIn(layoutOf(source), module)
  if (!ranged || range === undefined || range[1] <= layers) return
  const where = module.name === "default" ? "" : ` in ${module.name}`
  return yield* input.located.error(
    [...path, "layer_range"],
    `${Reference.text(reference)} has ${layers} layers${where}, [0, ${layers}); the range ends at ${range[1]}`,
  )
})

/** The layers that a source gives: its range, or all of them. */
const rangeOf = ({ layoutOf, module, ranged }: Work, source: Slices.Source): readonly [number, number] =>
  (ranged ? source.range : undefined) ?? [0, Assignment.depthIn(layoutOf(source), module)]

/** The tensors that a slice takes of a source, by names that are the same in every source of the slice. */
const taken = (work: Work, source: Slices.Source, index: number): ReadonlyMap<string, string> => {
  const { layoutOf, module, slices } = work
  const layout = layoutOf(source)
  const own = Assignment.moduleIn(layout, module)
  const [start, end] = rangeOf(work, source)
  const found = new Map<string, string>()
  for (const name of layout.names) {
    if (layout.stacks.moduleOf(name) !== own) continue
    const place = layout.stacks.layerOf(name)
    if (place === undefined) {
      if (TensorName.isBefore(name) ? index === 0 : index === slices.length - 1) found.set(name, name)
    } else if (place.layer >= start && place.layer < end) {
      found.set(`${place.before}.+${place.layer - start}.${place.after}`, name)
    } else if (place.layer >= Assignment.depthIn(layout, module) && index === slices.length - 1) {
      const past = place.layer - Assignment.depthIn(layout, module)
      found.set(`${place.before}.past+${past}.${place.after}`, name)
    }
  }
  return found
}

/** Every source of a slice must have the tensors of the first, and none besides; buffers are as good as there. */
const checkNames = Effect.fnUntraced(function* (work: Work, slice: Slices.Slice, index: number) {
  const { located } = work.input
  const [first, ...others] = Slices.everySource(slice)
  if (first === undefined) return
  const names = taken(work, first, index)
  for (const other of others) {
    const own = taken(work, other, index)
    const [a, b] = [Reference.text(first.reference), Reference.text(other.reference)]
    const missing = [...names].find(([key, name]) => !own.has(key) && isNeeded(work, first, name))?.[1]
    const extra = [...own].find(([key, name]) => !names.has(key) && isNeeded(work, other, name))?.[1]
    if (missing !== undefined || extra !== undefined) yield* checkDepths(work, first, other)
    if (missing !== undefined)
      return yield* located.error(other.path, `tensor ${missing} is missing in ${b}; ${a} has it`)
    if (extra !== undefined)
      return yield* located.error(other.path, `${b} has the tensor ${extra}; ${a} has no such tensor`)
  }
})

/** What lacks whole layers is another model, which a tensor's name would not say. */
const checkDepths = Effect.fnUntraced(function* (work: Work, first: Slices.Source, other: Slices.Source) {
  const { input, layoutOf, module, ranged } = work
  const [depth, expected] = [other, first].map((source) => Assignment.depthIn(layoutOf(source), module))
  if (ranged || depth === expected) return
  const [a, b] = [Reference.text(first.reference), Reference.text(other.reference)]
  const where = module.name === "default" ? "" : ` in ${module.name}`
  return yield* input.located.error(
    other.path,
    `${b} has ${depth} layers${where}, ${a} has ${expected}: models are merged whole where they are equally deep; take layers of each with slices`,
  )
})

const isNeeded = ({ layoutOf }: Work, source: Slices.Source, name: string): boolean =>
  !Buffers.is(entry(layoutOf(source).checkpoint.tensors, name))

const placesOf = (work: Work): ReadonlyArray<Place> => {
  const { layoutOf, slices } = work
  const [before, layers, after]: [Array<Place>, Array<Place>, Array<Place>] = [[], [], []]
  let offset = 0
  for (const [index, slice] of slices.entries()) {
    const source = Assignment.leading(slice)
    const { stacks } = layoutOf(source)
    const [start, end] = rangeOf(work, source)
    for (const name of taken(work, source, index).values()) {
      const place = stacks.layerOf(name)
      if (place === undefined) (TensorName.isBefore(name) ? before : after).push(fixed(slice, name))
      else if (place.layer >= start && place.layer < end) layers.push(layered(work, slice, place, offset))
      else after.push(past(work, slice, place, offset + end - start))
    }
    offset += end - start
  }
  return [...before, ...layers, ...after]
}

const fixed = (slice: Slices.Slice, tensor: string): Place => ({
  subject: { tensor, layer: undefined, t: 0 },
  slice,
  nameIn: () => tensor,
  reference: tensor,
})

const layered = (
  work: Work,
  slice: Slices.Slice,
  { after, before, layer }: TensorName.InLayer,
  offset: number,
): Place => {
  const [start, end] = rangeOf(work, Assignment.leading(slice))
  const inner = layer - start
  const t = end - start === 1 ? 1 : inner / (end - start - 1)
  return {
    subject: { tensor: `${before}.${offset + inner}.${after}`, layer: offset + inner, t },
    slice,
    nameIn: (source) => `${before}.${at(rangeOf(work, source), 0) + inner}.${after}`,
    reference: `${before}.${layer}.${after}`,
  }
}

/** A layer that no config counts, after the last of the result's. */
const past = (
  { layoutOf, module }: Work,
  slice: Slices.Slice,
  { after, before, layer }: TensorName.InLayer,
  depth: number,
): Place => {
  const inner = layer - Assignment.depthIn(layoutOf(Assignment.leading(slice)), module)
  return {
    subject: { tensor: `${before}.${depth + inner}.${after}`, layer: depth + inner, t: 1 },
    slice,
    nameIn: (source) => `${before}.${Assignment.depthIn(layoutOf(source), module) + inner}.${after}`,
    reference: `${before}.${layer}.${after}`,
  }
}
