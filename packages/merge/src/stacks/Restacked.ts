/**
 * What slices of layers change in config.json: the depth of their stack, and everything that is said of single layers.
 *
 * Each layer of the result keeps what its source's config says of it. Where a class derives that from the layer's number
 * and the number has changed, it is written out, or refused where no key can say it.
 */
import { at, known } from "@hila/core/Lookup"
import type { JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { RecipeError } from "../MergeError.ts"
import type { Located } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import * as Assignment from "./Assignment.ts"
import * as LayerTraits from "./LayerTraits.ts"
import * as Sections from "./Sections.ts"

/** What changes in the config of the model that the result is like, and what is to be said about it. */
export interface Restacked {
  readonly edits: ReadonlyArray<{ readonly path: JsonText.Path; readonly value: unknown }>
  readonly notes: ReadonlyArray<string>
}

/** A layer of the result as one of its sources has it. */
interface Origin {
  readonly text: string
  readonly section: Sections.Section
  readonly depth: number
  readonly layer: number
}

/** The changes for a recipe whose result is like `like`. */
export const of = Effect.fnUntraced(function* (
  input: Assignment.Input,
  like: Reference.Reference,
): Effect.fn.Return<Restacked, RecipeError> {
  const edits: Array<Restacked["edits"][number]> = []
  const notes: Array<string> = []
  const { checkpoint, stacks } = Assignment.layouts(input)({ reference: like })
  for (const assignment of yield* Assignment.of(input)) {
    if (!assignment.ranged) {
      const own = stacks.modules.filter(({ container }) => container === assignment.module.container)
      const [problem] = Sections.problemsOf(checkpoint.config, own)
      if (problem === undefined) continue
      const text = `config.json of ${Reference.text(like)} does not fit its weights`
      return yield* input.located.error(
        assignment.path,
        `${text}, nor would the result's: ${problem}; mend it first`,
      )
    }
    const changed = yield* restack(input, assignment, like)
    // The decoder's own count comes after the one that the encoder's slices write for it.
    edits[assignment.module.role === "decoder" ? "push" : "unshift"](...changed.edits)
    notes.push(...changed.notes)
  }
  return { edits, notes }
})

const restack = Effect.fnUntraced(function* (
  input: Assignment.Input,
  assignment: Assignment.Assignment,
  like: Reference.Reference,
): Effect.fn.Return<Restacked, RecipeError> {
  const { located } = input
  const { module, path, slices } = assignment
  const layoutOf = Assignment.layouts(input)
  const place = [...path, "slices"]
  const layout = layoutOf({ reference: like })
  const { config } = layout.checkpoint
  const own = Assignment.moduleIn(layout, module)
  const counts = own === undefined ? [] : Sections.countsOf(config, own)
  const moved = !isPrefix(slices)
  const total = slices.reduce((sum, slice) => {
    const [start, end] = known(Assignment.leading(slice).range, "range")
    return sum + end - start
  }, 0)
  if (own === undefined || counts.length === 0) {
    if (!moved && total === own?.stored) return { edits: [], notes: [] }
    const said = own === undefined ? undefined : Sections.saidOf(config, own)[0]
    const text = Reference.text(like)
    return yield* located.error(
      place,
      said === undefined
        ? `no key in config.json of ${text} is known to count the ${module.stored} layers of ${module.container}: layers can be merged, not moved`
        : `config.json of ${text} says ${said.layers} layers (${[...said.path, said.key].join(".")}), its weights have ${own?.stored}: mend it first`,
    )
  }
  const edits: Array<Restacked["edits"][number]> = [
    ...decoderCount(layout, module.name, counts, at(counts, 0).layers),
    ...counts.map(({ key, path: section }) => ({ path: [...section, key], value: total })),
  ]
  const notes = new Set<string>()
  const paths = new Map(counts.map((count) => [count.path.join("."), count.path]))
  for (const section of paths.values()) {
    const values = typed(config, section)
    const problem = moved || total !== at(counts, 0).layers ? LayerTraits.obstacle(values) : undefined
    if (problem !== undefined) {
      return yield* located.error(
        place,
        `${[...section, ""].join(".")}${problem}; so its layers cannot be taken apart`,
      )
    }
    const origins = slices.flatMap((slice) => originsOf(slice, layoutOf, assignment, section))
    const changed = yield* changesIn(located, place, values, {
      depth: at(counts, 0).layers,
      total,
      origins,
    })
    edits.push(...changed.edits.map(({ path: inner, value }) => ({ path: [...section, ...inner], value })))
    for (const note of changed.notes) notes.add(note)
    if (!moved) continue
    for (const key of LayerTraits.unread(values)) {
      notes.add(
        `${[...section, key].join(".")} = ${String(values[key])} is kept: if it means layers by their number, set it by hand`,
      )
    }
  }
  return { edits, notes: [...notes] }
})

/** A section with the model type that its rules go by. */
const typed = (config: Sections.Section & { readonly model_type: string }, path: ReadonlyArray<string>) => {
  const values = known(Sections.section(config, path), path.join("."))
  return path.length === 0 || values["model_type"] !== undefined
    ? values
    : { ...values, model_type: config.model_type }
}

/** The decoder's count, which is the encoder's where the key is absent. */
const decoderCount = (
  { checkpoint: { config } }: Assignment.Layout,
  module: string,
  counts: ReadonlyArray<Sections.Count>,
  layers: number,
): Restacked["edits"] =>
  module === "encoder" &&
  counts.some(({ key }) => key === "num_layers") &&
  config["num_decoder_layers"] == null
    ? [{ path: ["num_decoder_layers"], value: layers }]
    : []

/** Whether every layer keeps its number. */
const isPrefix = (slices: ReadonlyArray<Slices.Slice>): boolean => {
  let offset = 0
  for (const slice of slices) {
    for (const { range } of Slices.everySource(slice)) if (range?.[0] !== offset) return false
    const [start, end] = known(Assignment.leading(slice).range, "range")
    offset += end - start
  }
  return true
}

/** The layers of a slice, each as every source has it, the leading one first. */
const originsOf = (
  slice: Slices.Slice,
  layoutOf: Assignment.LayoutOf,
  { module }: Assignment.Assignment,
  path: ReadonlyArray<string>,
): ReadonlyArray<ReadonlyArray<Origin>> => {
  const leading = Assignment.leading(slice)
  const sources = [leading, ...[...Slices.everySource(slice)].filter((source) => source !== leading)]
  const [start, end] = known(leading.range, "range")
  return Array.from({ length: end - start }, (_, inner) =>
    sources.map((source) => {
      const layout = layoutOf(source)
      const { config } = layout.checkpoint
      const own = Assignment.moduleIn(layout, module)
      const place = Sections.section(config, path) === undefined ? undefined : path
      const found = place ?? (own === undefined ? undefined : Sections.placeOf(config, own)) ?? []
      return {
        text: Reference.text(source.reference),
        section: typed(config, found),
        depth: Assignment.depthIn(layout, module),
        layer: at(known(source.range, "range"), 0) + inner,
      }
    }),
  )
}

interface Layers {
  /** Of the model that the result is like. */
  readonly depth: number
  /** Of the result. */
  readonly total: number
  /** By layer of the result. */
  readonly origins: ReadonlyArray<ReadonlyArray<Origin>>
}

/** What a section says of the layers, for those of the result. */
const changesIn = Effect.fnUntraced(function* (
  { error, recipe }: Located,
  place: ReadonlyArray<string | number>,
  section: Sections.Section,
  { depth, origins, total }: Layers,
): Effect.fn.Return<Restacked, RecipeError> {
  const edits: Array<Restacked["edits"][number]> = []
  const notes: Array<string> = []
  for (const trait of [...LayerTraits.named, ...LayerTraits.listed(section, depth)]) {
    const { key } = trait
    const before = trait.read(section, depth)
    if (before === undefined) {
      if (Array.isArray(section[key]))
        return yield* error(
          place,
          `${key} in config.json has ${section[key].length} entries, for ${depth} layers: mend it first`,
        )
      continue
    }
    const wanted: Array<unknown> = []
    for (const [layer, sources] of origins.entries()) {
      const found: Array<unknown> = []
      for (const origin of sources) {
        const value = trait.read(origin.section, origin.depth)?.[origin.layer]
        if (value === undefined)
          return yield* error(
            place,
            `config.json of ${origin.text} has no ${key} for its layer ${origin.layer}, which the result needs`,
          )
        found.push(value)
      }
      const [first] = found
      const odd = found.findIndex((value) => !same(value, first))
      if (odd !== -1) {
        const problem = `layer ${layer} merges ${said(at(sources, 0), first)} with ${said(at(sources, odd), found[odd])}, by ${key} in config.json`
        if (recipe.accept?.includes("architecture") !== true)
          return yield* error(
            place,
            `${problem}: accept: [architecture] merges them all the same, into one like the first`,
          )
        notes.push(`accepted: ${problem}`)
      }
      wanted.push(first)
    }
    const present = valueAt(section, key.split("."))
    const isWhole = typeof present === "object" && present !== null && Object.keys(present).length > 0
    const holds = same(trait.read(section, total), wanted)
    // Lists and objects are compared as a whole: entries past the last layer go, too.
    if (holds && !isWhole) continue
    const changes = trait.write(wanted, section)
    if (changes === undefined) {
      if (holds) continue
      return yield* error(
        place,
        `${key} in config.json counts layers by their number, and cannot say what these layers are (${runs(wanted)}): choose ranges that keep its rule`,
      )
    }
    edits.push(
      ...changes.flatMap(([path, value]) => (same(valueAt(section, path), value) ? [] : [{ path, value }])),
    )
    if (present == null) {
      notes.push(
        `${key} is written into config.json, since these layers do not follow the rule of their numbers: ${runs(wanted)}`,
      )
    }
  }
  return { edits, notes }
})

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const valueAt = (section: Sections.Section, path: JsonText.Path): unknown =>
  path.reduce<unknown>(
    (place, step) => (Predicate.isObject(place) ? Reflect.get(place, step) : undefined),
    section,
  )

const said = ({ layer, text }: Origin, value: unknown) =>
  `layer ${layer} of ${text} (${JSON.stringify(value)})`

/** Values in words, runs of the same as one: `2 × "sliding_attention", "full_attention"`. */
const runs = (values: ReadonlyArray<unknown>): string => {
  const found: Array<{ readonly text: string; count: number }> = []
  for (const value of values) {
    const text = JSON.stringify(value)
    const last = found.at(-1)
    if (last?.text === text) last.count += 1
    else found.push({ text, count: 1 })
  }
  return found.map(({ count, text }) => (count === 1 ? text : `${count} × ${text}`)).join(", ")
}
