/**
 * Recipes in one form: slices of sources, each source with the parameters that hold for it, nearest first.
 *
 * `models` are one slice over all layers. The base is found and taken out of the sources where the method has a base.
 */
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Name } from "../methods/names.ts"
import { definitions } from "../methods/registry.ts"
import type { Located, Path } from "./RecipeFile.ts"
import type { ModelReference, Parameters } from "./RecipeSchema.ts"
import * as Reference from "./Reference.ts"

/** Parameters at one place of the recipe. */
export interface Scope {
  readonly parameters: Parameters
  readonly path: Path
}

/** A model's part in a slice. */
export interface Source {
  readonly reference: Reference.Reference
  /** `[first, end)`; all layers where undefined. */
  readonly range: readonly [number, number] | undefined
  /** Its own parameters. */
  readonly scope: Scope | undefined
  readonly path: Path
  /** Files of this model's mask and statistics. */
  readonly mask?: string | undefined
  readonly statistics?: string | undefined
}

/** Layers of the result. */
export interface Slice {
  /** Without the base. */
  readonly sources: ReadonlyArray<Source>
  /** For methods that have no base: with it, where it is listed or where such a method is the recipe's. */
  readonly listed: ReadonlyArray<Source>
  readonly base: Source | undefined
  /** The slice's parameters, then the module's, then the recipe's. */
  readonly scopes: ReadonlyArray<Scope>
}

/** A slice as a method sees it: without a base if it has none. */
export const viewOf = (slice: Slice, name: Name): Pick<Slice, "base" | "scopes" | "sources"> =>
  definitions[name].base === "none" ? { ...slice, sources: slice.listed, base: undefined } : slice

/** The base, if there is one, and every other source of a slice. */
export const everySource = ({ base, listed, sources }: Slice): ReadonlySet<Source> =>
  new Set([...(base === undefined ? [] : [base]), ...sources, ...listed])

/** A recipe as slices, and what is to be said about it. */
export interface Sliced {
  readonly slices: ReadonlyArray<Slice>
  readonly base: Reference.Reference | undefined
  readonly notes: ReadonlyArray<string>
}

type Failure = RecipeError

const scopeOf = (parameters: Parameters | null | undefined, path: Path): ReadonlyArray<Scope> =>
  parameters == null ? [] : [{ parameters, path: [...path, "parameters"] }]

/** The slices of a recipe. */
export const of = Effect.fnUntraced(function* (located: Located): Effect.fn.Return<Sliced, Failure> {
  const { error, recipe } = located
  const given = (["models", "slices", "modules"] as const).filter((key) => recipe[key] != null)
  const [kind, other] = given
  if (kind === undefined)
    return yield* error([], "what to merge is missing: give models, or slices of layers")
  if (other !== undefined)
    return yield* error([other], `${kind} and ${other} are both given: keep one of them`)
  const global = scopeOf(recipe.parameters, [])
  const module = yield* moduleOf(located)
  const { models, path, slices } = module ?? { models: recipe.models, path: [], slices: recipe.slices }
  const outer = [...(module?.scopes ?? []), ...global]
  const raw =
    slices == null
      ? [
          {
            base: undefined,
            path,
            scopes: outer,
            sources: (models ?? []).map((model, index) => ({
              ...model,
              range: undefined,
              path: [...path, "models", index],
            })),
          },
        ]
      : slices.map((slice, index) => {
          const at = [...path, "slices", index]
          return {
            base: slice.base_model ?? undefined,
            path: at,
            scopes: [...scopeOf(slice.parameters, at), ...outer],
            sources: slice.sources.map((source, inner) => ({
              ...source,
              mask: undefined,
              statistics: undefined,
              range: source.layer_range,
              path: [...at, "sources", inner],
            })),
          }
        })
  const base = yield* baseOf(located, raw)
  const result: Array<Slice> = []
  for (const { path: at, scopes, sources } of raw) {
    const all = sources.map(({ model, parameters, path: own, range, ...files }): Source => ({
      reference: located.reference(model),
      range,
      scope: scopeOf(parameters, own)[0],
      path: own,
      mask: files.mask ?? undefined,
      statistics: files.statistics ?? undefined,
    }))
    result.push(yield* withBase(located, all, base, scopes, at))
  }
  const unused = slices?.some((slice) => slice.residual_weight != null) ?? false
  const notes = unused ? ["residual_weight has no effect, as in the existing tool"] : []
  return { slices: result, base: base?.reference, notes: [...notes, ...new Set(result.flatMap(repeated))] }
})

/** Sources that a slice names twice, which may be meant or a slip. */
const repeated = ({ sources }: Slice): ReadonlyArray<string> => {
  const names = sources.map(({ range, reference }) => `${Reference.text(reference)} ${range?.join() ?? ""}`)
  return sources.flatMap(({ reference }, index) =>
    names.indexOf(names[index]!) === index
      ? []
      : [`${Reference.text(reference)} is listed more than once: each counts`],
  )
}

/** `modules` with the one module that architectures with a single decoder have. */
const moduleOf = Effect.fnUntraced(function* ({ error, errorAtKey, recipe }: Located) {
  if (recipe.modules == null) return undefined
  const names = Object.keys(recipe.modules)
  const wrong = names.find((name) => name !== "default")
  if (wrong !== undefined) {
    return yield* errorAtKey(
      ["modules", wrong],
      `there is no module "${wrong}": a model with one decoder has the module "default"; models of several parts are merged part by part by filter (methods)`,
    )
  }
  const module = recipe.modules["default"]
  if (module === undefined) return yield* error(["modules"], "modules is empty: give models instead")
  const path: Path = ["modules", "default"]
  if ((module.models === undefined) === (module.slices === undefined)) {
    return yield* error(path, "a module needs either models or slices")
  }
  return { models: module.models, slices: module.slices, path, scopes: scopeOf(module.parameters, path) }
})

/** The one base of a recipe. */
const baseOf = Effect.fnUntraced(function* (
  { error, recipe, reference }: Located,
  slices: ReadonlyArray<{ readonly base: ModelReference | undefined; readonly path: Path }>,
) {
  const named = [
    ...(recipe.base_model == null ? [] : [{ model: recipe.base_model, path: ["base_model"] as Path }]),
    ...slices.flatMap(({ base, path }) =>
      base === undefined ? [] : [{ model: base, path: [...path, "base_model"] }],
    ),
  ].map(({ model, path }) => ({ reference: reference(model), path }))
  const [first] = named
  if (first === undefined) return undefined
  const second = named.find((other) => Reference.text(other.reference) !== Reference.text(first.reference))
  return second === undefined
    ? first
    : yield* error(
        second.path,
        `two bases, ${Reference.text(first.reference)} and ${Reference.text(second.reference)}: models of one merge must come from one base`,
      )
})

/** A slice whose base stands apart from its other sources. */
const withBase = Effect.fnUntraced(function* (
  { error, recipe }: Located,
  all: ReadonlyArray<Source>,
  base: { readonly reference: Reference.Reference; readonly path: Path } | undefined,
  scopes: ReadonlyArray<Scope>,
  path: Path,
): Effect.fn.Return<Slice, Failure> {
  const lengths = all.map(({ range }) => (range === undefined ? undefined : range[1] - range[0]))
  const empty = lengths.findIndex((length) => length !== undefined && length <= 0)
  if (empty !== -1) {
    return yield* error(
      [...all[empty]!.path, "layer_range"],
      "the range holds no layer: it is [first, end), end excluded",
    )
  }
  const odd = lengths.findIndex((length) => length !== lengths[0])
  if (odd !== -1) {
    return yield* error(
      [...all[odd]!.path, "layer_range"],
      `${lengths[odd]} layers, but the slice's first source has ${lengths[0]}: sources of one slice have the same number of layers`,
    )
  }
  if (base === undefined) return { sources: all, listed: all, base: undefined, scopes }
  const text = Reference.text(base.reference)
  const listed = all.filter(({ reference }) => Reference.text(reference) === text)
  const hasBase = (name: Name) => definitions[name].base !== "none"
  if (listed.length > 1 && hasBase(recipe.merge_method)) {
    return yield* error(listed[1]!.path, `two bases: ${text} is listed twice, and it is the base`)
  }
  const own: Source = listed[0] ?? {
    reference: base.reference,
    range: all[0]?.range,
    scope: undefined,
    path: base.path.length === 0 ? path : base.path,
  }
  const joins =
    !hasBase(recipe.merge_method) && listed.length === 0 && all.every(({ range }) => range === undefined)
  const used = [recipe.merge_method, ...(recipe.methods ?? []).map(({ merge_method }) => merge_method)]
  return {
    sources: all.filter((source) => source !== own),
    listed: joins ? [...all, own] : all,
    base: used.some(hasBase) ? own : undefined,
    scopes,
  }
})
