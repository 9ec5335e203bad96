/**
 * References to models in recipes: a directory, or `org/name@revision` on the Hub; either with `+adapter`.
 *
 * A path that holds `@` or `+` is taken as it is where there is such a directory; the long form has the parts apart.
 */
import * as Effect from "effect/Effect"
import { stat } from "node:fs/promises"
import { resolve } from "node:path"
import type { ModelReference, Recipe } from "./RecipeSchema.ts"

/** A model or an adapter. */
export interface Place {
  readonly path: string
  readonly revision?: string
}

/** A model, and the adapter that is added to it. */
export interface Reference extends Place {
  readonly lora?: Place
}

/** The parts of a reference; a text, or a part of one, that is among `directories` is a path as a whole. */
export const parse = (reference: ModelReference, directories: ReadonlySet<string> = new Set()): Reference => {
  const placeOf = (text: string): Place => {
    const at = text.lastIndexOf("@")
    return at < 1 || directories.has(text)
      ? { path: text }
      : { path: text.slice(0, at), revision: text.slice(at + 1) }
  }
  const partsOf = (parts: Parts): Place =>
    typeof parts === "string"
      ? placeOf(parts)
      : { path: parts.path, ...(parts.revision == null ? {} : { revision: parts.revision }) }
  if (typeof reference !== "string") {
    const lora = reference.lora ?? undefined
    return { ...partsOf(reference.model), ...(lora === undefined ? {} : { lora: partsOf(lora) }) }
  }
  if (directories.has(reference)) return { path: reference }
  const isWhole = (text: string) => directories.has(text) || !text.includes("+")
  const splits = splitsOf(reference)
  const split =
    splits.find(([model, lora]) => directories.has(lora) && isWhole(model)) ??
    splits.find(([model, lora]) => isWhole(model) && isWhole(lora))
  // More than one + is no reference of this form: it is a path.
  if (split === undefined) return splits.length === 0 ? placeOf(reference) : { path: reference }
  const [model, lora] = split
  return { ...placeOf(model), ...(lora === "" ? {} : { lora: placeOf(lora) }) }
}

/** A text parted at each of its `+`, of which the first character is none. */
const splitsOf = (text: string): ReadonlyArray<readonly [model: string, lora: string]> =>
  [...text.matchAll(/\+/g)].flatMap(({ index }) =>
    index === 0 ? [] : [[text.slice(0, index), text.slice(index + 1)] as const],
  )

/** How references of a recipe are read where its paths lead: what is a directory as it stands is no `+` or `@` of ours. */
export const onDisk = Effect.fnUntraced(function* (
  recipe: Recipe,
  /** Where relative paths begin. */
  directory: string,
) {
  const texts = textsIn(recipe).filter((text) => /[+@]/.test(text))
  const candidates = new Set(texts.flatMap((text) => [text, ...splitsOf(text).flat()]))
  const directories = new Set<string>()
  for (const text of candidates) {
    const places = [...new Set([resolve(directory, text), resolve(text)])]
    const found = yield* Effect.promise(() => Promise.all(places.map(isDirectory)))
    if (found.includes(true)) directories.add(text)
  }
  return (reference: ModelReference) => parse(reference, directories)
})

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )

/** Every text in a value. */
const textsIn = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : []
}

type Parts = Exclude<ModelReference, string>["model"]

const placeText = ({ path, revision }: Place) => (revision === undefined ? path : `${path}@${revision}`)

/** A reference as one line; equal references have equal lines. */
export const text = (reference: Reference): string =>
  reference.lora === undefined ? placeText(reference) : `${placeText(reference)}+${placeText(reference.lora)}`
