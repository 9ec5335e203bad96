/**
 * Recipes in one form: slices of sources, each source with the parameters that hold for it, nearest first.
 *
 * `models` are one slice over all layers. The base is found and taken out of the sources where the method has a base.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Name } from "../methods/names.ts"
import { definitions } from "../methods/registry.ts"
import type { Located, Path } from "./RecipeFile.ts"
import type { ModelReference, Parameters, Recipe } from "./RecipeSchema.ts"
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

/** The slices of one module of the models, or of whole models. */
export interface Part {
  /** As the recipe calls it; undefined where it names none. */
  readonly module: string | undefined
  readonly path: Path
  readonly slices: ReadonlyArray<Slice>
}

/** A recipe as slices, and what is to be said about it. */
export interface Sliced {
  readonly parts: ReadonlyArray<Part>
  /** Of every part. */
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
  const modules = yield* modulesOf(located)
  const raw = modules.flatMap((module) => rawSlices(module, scopeOf(recipe.parameters, [])))
  const base = yield* baseOf(located, raw)
  const parts: Array<Part> = []
  for (const module of modules) {
    const slices: Array<Slice> = []
    for (const { of, path, scopes, sources } of raw) {
      if (of !== module) continue
      const all = sources.map(({ model, parameters, path: own, range, ...files }): Source => ({
        reference: located.reference(model),
        range,
        scope: scopeOf(parameters, own)[0],
        path: own,
        mask: files.mask ?? undefined,
        statistics: files.statistics ?? undefined,
      }))
      slices.push(yield* withBase(located, all, base, scopes, path))
    }
    parts.push({ module: module.name, path: module.path, slices })
  }
  const slices = parts.flatMap((part) => part.slices)
  const unused = modules.some((module) => module.slices?.some((slice) => slice.residual_weight != null))
  const notes = unused ? ["residual_weight has no effect, as in mergekit 0.1.5"] : []
  return { parts, slices, base: base?.reference, notes: [...notes, ...new Set(slices.flatMap(repeated))] }
})

/** Models or slices, of a module or of whole models. */
interface RawModule {
  readonly name: string | undefined
  readonly path: Path
  readonly models: Recipe["models"]
  readonly slices: Recipe["slices"]
  readonly parameters: Parameters | null | undefined
}

/** A source as it stands in the recipe. */
interface RawSource {
  readonly model: ModelReference
  readonly parameters?: Parameters | null | undefined
  readonly range: readonly [number, number] | undefined
  readonly path: Path
  readonly mask?: string | null | undefined
  readonly statistics?: string | null | undefined
}

interface RawSlice {
  readonly of: RawModule
  readonly base: ModelReference | undefined
  readonly path: Path
  readonly scopes: ReadonlyArray<Scope>
  readonly sources: ReadonlyArray<RawSource>
}

/** The slices of a module as they stand in the recipe. */
const rawSlices = (module: RawModule, outer: ReadonlyArray<Scope>): ReadonlyArray<RawSlice> => {
  const { models, path, slices } = module
  const around = [...scopeOf(module.parameters, path), ...outer]
  return slices == null
    ? [
        {
          of: module,
          base: undefined,
          path,
          scopes: around,
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
          of: module,
          base: slice.base_model ?? undefined,
          path: at,
          scopes: [...scopeOf(slice.parameters, at), ...around],
          sources: slice.sources.map((source, inner) => ({
            ...source,
            range: source.layer_range,
            path: [...at, "sources", inner],
          })),
        }
      })
}

/** Sources that a slice names twice, which may be meant or a slip. */
const repeated = ({ sources }: Slice): ReadonlyArray<string> => {
  const names = sources.map(({ range, reference }) => `${Reference.text(reference)} ${range?.join() ?? ""}`)
  return sources.flatMap(({ reference }, index) =>
    names.indexOf(at(names, index)) === index
      ? []
      : [`${Reference.text(reference)} is listed more than once: each counts`],
  )
}

/** The modules that a recipe names, or whole models as one without a name. */
const modulesOf = Effect.fnUntraced(function* ({
  error,
  recipe,
}: Located): Effect.fn.Return<ReadonlyArray<RawModule>, Failure> {
  if (recipe.modules == null) {
    return [
      { name: undefined, path: [], models: recipe.models, slices: recipe.slices, parameters: undefined },
    ]
  }
  const modules = Object.entries(recipe.modules)
  if (modules.length === 0) return yield* error(["modules"], "modules is empty: give models instead")
  const found: Array<RawModule> = []
  for (const [name, { models, parameters, slices }] of modules) {
    const path: Path = ["modules", name]
    if ((models == null) === (slices == null)) {
      return yield* error(path, "a module needs either models or slices")
    }
    found.push({ name, path, models, slices, parameters })
  }
  return found
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

/** What is wrong with a range that ends where it begins. */
export const noLayer = "the range holds no layer: it is [first, end), end excluded"

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
  // Whether a module has layers at all is known when the models are open.
  if (empty !== -1 && (recipe.modules == null || all.some(({ range }) => range?.[1] !== 0))) {
    return yield* error([...at(all, empty).path, "layer_range"], noLayer)
  }
  const odd = lengths.findIndex((length) => length !== lengths[0])
  if (odd !== -1) {
    return yield* error(
      [...at(all, odd).path, "layer_range"],
      `${lengths[odd]} layers, but the slice's first source has ${lengths[0]}: sources of one slice have the same number of layers`,
    )
  }
  if (base === undefined) return { sources: all, listed: all, base: undefined, scopes }
  const text = Reference.text(base.reference)
  const listed = all.filter(({ reference }) => Reference.text(reference) === text)
  const hasBase = (name: Name) => definitions[name].base !== "none"
  if (listed.length > 1 && hasBase(recipe.merge_method)) {
    return yield* error(at(listed, 1).path, `two bases: ${text} is listed twice, and it is the base`)
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
