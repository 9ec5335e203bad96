/**
 * The parameters of a method for one tensor: found by precedence, checked, and filled up with defaults.
 *
 * Nearest wins: an entry of `methods`, the source, the slice, the module, the recipe.
 */
import { entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type {
  Default,
  Definition,
  Parameter,
  Profile,
  Scalar as Setting,
  Values,
} from "../methods/Definition.ts"
import { names, type Name } from "../methods/names.ts"
import { definitions } from "../methods/registry.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Scalar from "../recipe/Scalar.ts"
import type { Scope, Slice, Source } from "../recipe/Slices.ts"
import { hint } from "../recipe/Suggest.ts"
import * as Value from "./Value.ts"

/** Where parameters are looked for, besides the sources themselves. */
export interface Surroundings {
  readonly name: Name
  readonly located: Located
  /** Nearest of all. */
  readonly override: Scope | undefined
  readonly slice: Pick<Slice, "scopes" | "sources">
}

/** All values of a tensor's method. */
export const of = Effect.fnUntraced(function* (
  { located, name, override, slice }: Surroundings,
  subject: Value.Subject,
): Effect.fn.Return<Values, RecipeError> {
  const definition = definitions[name]
  const profile = located.recipe.profile ?? "tool"
  const values: Record<string, Setting | ReadonlyArray<Setting>> = { seed: located.recipe.seed ?? 0 }
  const near = override === undefined ? [] : [override]
  for (const [key, parameter] of Object.entries(definition.parameters)) {
    if (parameter.level === "merge") {
      const found = lookUp([...near, ...slice.scopes], key, parameter, subject)
      values[key] = yield* checked(located, name, key, parameter, found, profile, undefined)
      continue
    }
    const each: Array<Setting> = []
    for (const source of slice.sources) {
      const scopes = [...near, ...(source.scope === undefined ? [] : [source.scope]), ...slice.scopes]
      const found = lookUp(scopes, key, parameter, subject)
      each.push(yield* checked(located, name, key, parameter, found, profile, source))
    }
    values[key] = each
  }
  const refusal = definition.refuse?.(values)
  if (refusal !== undefined) {
    return yield* located.error(
      override?.path ?? ["merge_method"],
      `${name}: ${refusal} (tensor ${subject.tensor})`,
    )
  }
  return values
})

const lookUp = (
  scopes: ReadonlyArray<Scope>,
  key: string,
  { kind }: Parameter,
  subject: Value.Subject,
): Value.Found | undefined => {
  for (const { parameters, path } of scopes) {
    const value = Object.hasOwn(parameters, key) ? parameters[key] : undefined
    if (value === undefined) continue
    const found = Value.at(value, subject, [...path, key], kind === "number")
    if (found !== undefined) return found
  }
  return undefined
}

const chosen = (value: Default, profile: Profile): Setting | undefined =>
  typeof value === "object" ? value[profile] : value

/** A value as its parameter wants it, or the default. */
const checked = (
  { error }: Located,
  method: Name,
  key: string,
  parameter: Parameter,
  found: Value.Found | undefined,
  profile: Profile,
  source: Source | undefined,
): Effect.Effect<Setting, RecipeError> => {
  if (found === undefined) {
    const standard = chosen(parameter.default, profile)
    if (standard !== undefined) return Effect.succeed(standard)
    const whose = source === undefined ? "" : ` for ${Reference.text(source.reference)}`
    const where =
      source === undefined ? "the recipe's parameters" : "the model's parameters, or once in the recipe's"
    return Effect.fail(
      error(
        source?.path ?? ["merge_method"],
        `${method} needs the parameter ${key}${whose}: add it to ${where}`,
      ),
    )
  }
  const { kind, range } = parameter
  const { path, value } = found
  const wrong = (expected: string) =>
    Effect.fail(error(path, `${key}: expected ${expected}, got ${JSON.stringify(value)}`))
  if (kind === "number") {
    const number = Scalar.toNumber(value)
    if (number === undefined) return wrong("a number")
    const [least, greatest] = range ?? [-Infinity, Infinity]
    return number >= least && number <= greatest
      ? Effect.succeed(number)
      : wrong(
          greatest === Infinity ? `a number of at least ${least}` : `a number from ${least} to ${greatest}`,
        )
  }
  const flag = Scalar.toFlag(value)
  if (kind === "boolean") return flag === undefined ? wrong("true or false") : Effect.succeed(flag)
  const isWord = typeof value === "string" && kind.includes(value)
  const word =
    flag === undefined || isWord ? value : chosen(parameter.flags?.[flag ? "true" : "false"], profile)
  return typeof word === "string" && kind.includes(word)
    ? Effect.succeed(word)
    : wrong([...(parameter.flags === undefined ? [] : ["true", "false"]), ...kind].join(", "))
}

/** A list of notes on parameters without effect; fails at a name that no method knows. */
export const checkNames = Effect.fnUntraced(function* (
  { errorAtKey }: Located,
  scopes: ReadonlyArray<Scope>,
  used: ReadonlyArray<Name>,
): Effect.fn.Return<ReadonlyArray<string>, RecipeError> {
  const notes = new Set<string>()
  const own = used.map((name) => [name, definitions[name]] as const)
  const known = [...new Set(own.flatMap(([, { parameters }]) => Object.keys(parameters)))]
  for (const { parameters, path } of scopes) {
    for (const key of Object.keys(parameters)) {
      const place: Path = [...path, key]
      const found = own.filter(([, definition]) => Object.hasOwn(definition.parameters, key))
      if (found.length === 0) {
        if (!names.some((name) => Object.hasOwn(definitions[name].parameters, key))) {
          return yield* errorAtKey(
            place,
            `unknown parameter "${key}" for ${used.join(", ")}${hint(key, known)}`,
          )
        }
        notes.add(`${key} is no parameter of ${used.join(", ")} and has no effect, as in mergekit 0.1.5`)
      }
      for (const reason of ignoredReasons(found, key)) notes.add(`${key} has no effect: ${reason}`)
    }
  }
  return [...notes]
})

/** Why a parameter does nothing, if none of the methods that know it uses it. */
const ignoredReasons = (
  found: ReadonlyArray<readonly [Name, Definition]>,
  key: string,
): ReadonlyArray<string> => {
  const reasons = found.flatMap(([, { parameters }]) => entryOr(parameters, key, undefined)?.ignored ?? [])
  return reasons.length < found.length ? [] : reasons.slice(0, 1)
}
