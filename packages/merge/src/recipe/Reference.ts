/**
 * References to models in recipes: a directory, or `org/name@revision` on the Hub; either with `+adapter`.
 *
 * The long form has the parts apart, for paths that hold `@` or `+`.
 */
import type { ModelReference } from "./RecipeSchema.ts"

/** A model or an adapter. */
export interface Place {
  readonly path: string
  readonly revision?: string
}

/** A model, and the adapter that is added to it. */
export interface Reference extends Place {
  readonly lora?: Place
}

/** The parts of a reference. */
export const parse = (reference: ModelReference): Reference => {
  if (typeof reference === "string") {
    const [model, lora, ...rest] = reference.split("+")
    // More than one + is no reference of this form: it is a path.
    if (rest.length > 0 || model === undefined || model === "") return { path: reference }
    return { ...placeOf(model), ...(lora === undefined || lora === "" ? {} : { lora: placeOf(lora) }) }
  }
  const lora = reference.lora ?? undefined
  return { ...partsOf(reference.model), ...(lora === undefined ? {} : { lora: partsOf(lora) }) }
}

const placeOf = (text: string): Place => {
  const at = text.lastIndexOf("@")
  return at < 1 ? { path: text } : { path: text.slice(0, at), revision: text.slice(at + 1) }
}

type Parts = Exclude<ModelReference, string>["model"]

const partsOf = (parts: Parts): Place =>
  typeof parts === "string"
    ? placeOf(parts)
    : { path: parts.path, ...(parts.revision == null ? {} : { revision: parts.revision }) }

const placeText = ({ path, revision }: Place) => (revision === undefined ? path : `${path}@${revision}`)

/** A reference as one line; equal references have equal lines. */
export const text = (reference: Reference): string =>
  reference.lora === undefined ? placeText(reference) : `${placeText(reference)}+${placeText(reference.lora)}`
