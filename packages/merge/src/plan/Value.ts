/**
 * Values of parameters: scalars, gradients over the layers, and values by filter.
 */
import { known } from "@hila/core/Lookup"
import type { Path } from "../recipe/RecipeFile.ts"
import { toNumber } from "../recipe/Scalar.ts"
import type { Conditional, Filter, Scalar, Value } from "../recipe/RecipeSchema.ts"

/** The tensor of the result that a value is for. */
export interface Subject {
  readonly tensor: string
  /** Its layer in the result; none for embeddings, final norm and head. */
  readonly layer: number | undefined
  /** How far the layer is in its slice: 0 for the first, 1 for the last; 0 outside of layers. */
  readonly t: number
  /** A query head, where a value may depend on it. */
  readonly head?: number
}

/** What a value comes to, and where it stands in the recipe. */
export interface Found {
  readonly value: Exclude<Scalar, null>
  readonly path: Path
}

const isConditional = (item: unknown): item is Conditional =>
  typeof item === "object" && item !== null && "value" in item

const isList = (value: Value | Conditional["value"]): value is ReadonlyArray<Scalar | Conditional> =>
  Array.isArray(value)

/**
 * The value for a tensor; undefined where no filter matches it or the value is null. Where a number is wanted, the
 * texts and flags of a gradient are read as numbers.
 */
export const at = (
  value: Value,
  subject: Subject,
  path: Path,
  isNumeric: boolean = false,
): Found | undefined => {
  if (isConditional(value)) return ofConditional(value, subject, path, isNumeric)
  if (!isList(value)) return value === null ? undefined : { value, path }
  const plain = value.filter((item): item is Scalar => !isConditional(item))
  if (plain.length === value.length) return gradient(plain, subject.t, path, isNumeric)
  for (const [index, item] of value.entries()) {
    const found = isConditional(item)
      ? ofConditional(item, subject, [...path, index], isNumeric)
      : item === null
        ? undefined
        : { value: item, path: [...path, index] }
    if (found !== undefined) return found
  }
  return undefined
}

const ofConditional = (
  { filter, value }: Conditional,
  subject: Subject,
  path: Path,
  isNumeric: boolean,
): Found | undefined =>
  filter === undefined || matches(filter, subject)
    ? at(value, subject, [...path, "value"], isNumeric)
    : undefined

/** Numbers are interpolated between their neighbours; of other values each holds for its share of the layers. */
const gradient = (
  values: ReadonlyArray<Scalar>,
  t: number,
  path: Path,
  isNumeric: boolean,
): Found | undefined => {
  if (values.length === 0) return undefined
  const read = isNumeric ? values.map((value) => toNumber(value) ?? value) : values
  const numbers = read.filter((value) => typeof value === "number")
  if (numbers.length < values.length) {
    const value = values[Math.min(Math.floor(t * values.length), values.length - 1)]
    return value == null ? undefined : { value, path }
  }
  const exact = t * (numbers.length - 1)
  const below = Math.min(Math.floor(exact), numbers.length - 1)
  const above = Math.min(below + 1, numbers.length - 1)
  const share = exact - below
  return { value: (1 - share) * known(numbers[below]) + share * known(numbers[above]), path }
}

/** Whether a filter names a tensor. Text is a part of the name or, with `*` or `?`, a glob over the whole name. */
export const matches = (filter: Filter, subject: Subject): boolean => {
  if (typeof filter === "string") {
    return /[*?]/.test(filter) ? glob(filter).test(subject.tensor) : subject.tensor.includes(filter)
  }
  const { head, layer, tensor } = filter
  return (
    (tensor === undefined || glob(tensor).test(subject.tensor)) &&
    (layer === undefined || (subject.layer !== undefined && holds(layer, subject.layer))) &&
    (head === undefined || (subject.head !== undefined && holds(head, subject.head)))
  )
}

type Numbers = NonNullable<Exclude<Filter, string>["layer"]>

const holds = (numbers: Numbers, value: number): boolean => {
  if (typeof numbers === "number") return numbers === value
  return "from" in numbers ? value >= numbers.from && value < numbers.to : numbers.includes(value)
}

const glob = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  )

/** Every filter in a value, and where it stands. */
export const filters = (
  value: Value,
  path: Path,
): ReadonlyArray<{ readonly filter: Filter; readonly path: Path }> => {
  if (isConditional(value))
    return value.filter === undefined ? [] : [{ filter: value.filter, path: [...path, "filter"] }]
  return isList(value)
    ? value.flatMap((item, index) => (isConditional(item) ? filters(item, [...path, index]) : []))
    : []
}

/** Whether a value differs along the layers. */
export const hasGradient = (value: Value): boolean => {
  if (isConditional(value)) return isList(value.value)
  return isList(value) && value.some((item) => (isConditional(item) ? isList(item.value) : true))
}
