/**
 * Merging by any method on values: what a recipe does, without a file.
 *
 * The inputs become a recipe with their roles for names, so that checks, engine, post-flight and card are the same.
 */
import type { Checkpoint, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import { stringify } from "yaml"
import type { LayerWeights } from "./units/LayerWeights.ts"
import type { Mask } from "./units/Mask.ts"
import { MergeError, RecipeError } from "./MergeError.ts"
import type { Name } from "./methods/names.ts"
import { definitions } from "./methods/registry.ts"
import type { Companions } from "./plan/Companions.ts"
import type { Model } from "./plan/Plan.ts"
import * as Prepared from "./plan/Prepared.ts"
import type { Residual } from "./units/UnitCoefficients.ts"
import type { UnitWeights } from "./units/UnitWeights.ts"
import type { Options } from "./Options.ts"
import { mergePrepared, type RecipeMergeError } from "./output/Result.ts"
import type { Located, Path } from "./recipe/RecipeFile.ts"
import * as Reference from "./recipe/Reference.ts"
import type { Acceptable, Parameters, Recipe } from "./recipe/RecipeSchema.ts"
import type { Source } from "./recipe/Slices.ts"

/** What is merged. */
export interface MergeInputs {
  /** For methods that need or may have one. */
  readonly base?: Checkpoint.Checkpoint | undefined
  readonly models: ReadonlyArray<Checkpoint.Checkpoint>
  /** One per model, or none; see `Mask`. */
  readonly masks?: ReadonlyArray<Mask> | undefined
  /** Tables over the models in their order; several multiply. */
  readonly layerWeights?: ReadonlyArray<LayerWeights> | undefined
  readonly unitWeights?: ReadonlyArray<UnitWeights> | undefined
  /**
   * One per model in their order, then the base's, for methods that use them: the models' alone, the base's alone, or
   * both, as the method needs them.
   */
  readonly statistics?: ReadonlyArray<WeightStatistics.WeightStatistics> | undefined
}

/** How it is merged. */
export interface MergeParams {
  /** By the name recipes use: `task_arithmetic`, `ties`, … */
  readonly method: Name
  /** The method's parameters by name, as in a recipe: numbers, gradients over the layers, values by filter. */
  readonly parameters?: Parameters | undefined
  /** Parameters of each model, in their order; they win over `parameters`. A weight that nothing gives is 1. */
  readonly perModel?: ReadonlyArray<Parameters> | undefined
  /** Of the random methods; 0 by default. */
  readonly seed?: number | undefined
  /** Whose defaults: mergekit 0.1.5's (by default) or the papers'. */
  readonly profile?: "tool" | "paper" | undefined
  /** Other methods for some of the tensors, by filter; the first that matches counts. */
  readonly methods?: Recipe["methods"]
  /** What tensors outside every unit get from unit weights; `"mean"` by default. */
  readonly residual?: Residual | undefined
  /** Differences of meaning between the models that are merged all the same, as in a recipe. */
  readonly accept?: ReadonlyArray<Acceptable> | undefined
  /** The result's dtype; the base's, else the first model's, by default. */
  readonly dtype?: Recipe["dtype"]
}

/**
 * Merges models by a method of recipes and writes the checkpoint into `directory`, which must be new or empty.
 *
 * With masks and tables, the coefficient of each layer and unit multiplies what the method leaves of the model's masked
 * task vector. Fails with a `MergeError` that names the input at fault before a weight is read.
 */
export const merge = Effect.fn("merge")(function* (
  inputs: MergeInputs,
  params: MergeParams,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Checkpoint.Checkpoint, MergeFailure> {
  const accept = [...(params.accept ?? []), ...(options.accept ?? [])]
  const asked = accept.length === 0 ? params : { ...params, accept }
  return yield* named(
    options.caller ?? params.method,
    Effect.flatMap(preparedOf(inputs, asked), (prepared) => mergePrepared(prepared, directory, options)),
  )
})

/** Merges by the recipe in a file and writes the checkpoint into `directory`, which must be new or empty. */
export const mergeRecipe = Effect.fn("mergeRecipe")(function* (
  recipe: string,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  const prepared = yield* Prepared.fromFile(recipe, options.accept)
  return yield* mergePrepared(prepared, directory, options)
})

/** Everything a merge of values can fail with. */
export type MergeFailure = Exclude<RecipeMergeError, RecipeError>

/** Errors at a place of the recipe that values have become name the input instead, and the function that was called. */
export const named = <A>(caller: string, effect: Effect.Effect<A, RecipeMergeError>) =>
  Effect.catchTags(effect, {
    RecipeError: ({ file, problem }) => Effect.fail(new MergeError({ method: caller, input: file, problem })),
    MergeError: ({ input, problem, tensor }) =>
      Effect.fail(
        new MergeError({ method: caller, input, problem, ...(tensor === undefined ? {} : { tensor }) }),
      ),
  })

/** Values made ready to be merged: every check of pre-flight has passed, every tensor is planned. */
export const preparedOf = Effect.fnUntraced(function* (
  inputs: MergeInputs,
  params: MergeParams,
): Effect.fn.Return<Prepared.Prepared, RecipeMergeError> {
  const { base, masks = [], models } = inputs
  const { method, perModel = [] } = params
  const [first] = models
  if (first === undefined) {
    return yield* new MergeError({ method, input: "models", problem: "expected at least one, got none" })
  }
  for (const [input, got] of [
    ["masks", masks.length],
    ["perModel", perModel.length],
  ] as const) {
    if (got === 0 || got === models.length) continue
    const problem = `expected ${models.length}, one per model, or none, got ${got}`
    return yield* new MergeError({ method, input, problem })
  }
  const statistics = yield* statisticsOf(method, models.length, inputs.statistics ?? [])
  const indexOf = ({ path }: Source) => Number(path.at(-1))
  const companions: Companions = {
    layerWeights: inputs.layerWeights ?? [],
    unitWeights: (inputs.unitWeights ?? []).map((table) => ({ table, residual: params.residual ?? "mean" })),
    mask: (source) => masks[indexOf(source)],
    statistics: (source) => statistics.models[indexOf(source)],
    baseStatistics: statistics.base,
  }
  const located = locatedOf(recipeOf(base !== undefined, models.length, params))
  const open = (): ReadonlyMap<string, Model> =>
    new Map([
      ...models.map((checkpoint, index) => modelOf(nameOf(index), checkpoint)),
      ...(base === undefined ? [] : [modelOf("base", base)]),
    ])
  return yield* Prepared.fromLocated(
    located,
    () => Effect.succeed(open()),
    () => Effect.succeed(companions),
  )
})

const nameOf = (index: number) => `model ${index + 1}`

const modelOf = (path: string, checkpoint: Checkpoint.Checkpoint): readonly [string, Model] => [
  path,
  { reference: { path }, checkpoint, original: checkpoint },
]

/** The statistics of the models and of the base, which come last where both are given. */
const statisticsOf = (
  method: Name,
  models: number,
  given: ReadonlyArray<WeightStatistics.WeightStatistics>,
) => {
  if (given.length === 0) return Effect.succeed({ models: [], base: undefined })
  if (given.length === 1 && definitions[method].statistics?.of === "base")
    return Effect.succeed({ models: [], base: given[0] })
  if (given.length === models) return Effect.succeed({ models: given, base: undefined })
  if (given.length === models + 1)
    return Effect.succeed({ models: given.slice(0, models), base: given[models] })
  const problem = `expected ${models}, one per model, or ${models + 1} with the base's as the last, got ${given.length}`
  return Effect.fail(new MergeError({ method, input: "statistics", problem }))
}

const recipeOf = (hasBase: boolean, models: number, params: MergeParams): Recipe => {
  const { accept, dtype, method, methods, parameters = {}, perModel = [], profile, seed } = params
  const weight = definitions[method].parameters["weight"]
  const all = weight !== undefined && weight.default === undefined ? { weight: 1, ...parameters } : parameters
  return {
    merge_method: method,
    ...(hasBase ? { base_model: "base" } : {}),
    models: oneOrMore(models, (index) => ({
      model: nameOf(index),
      ...(perModel[index] === undefined ? {} : { parameters: perModel[index] }),
    })),
    ...(Object.keys(all).length === 0 ? {} : { parameters: all }),
    ...(methods === undefined ? {} : { methods }),
    ...(dtype == null ? {} : { dtype }),
    ...(accept === undefined ? {} : { accept }),
    ...(profile === undefined ? {} : { profile }),
    ...(seed === undefined ? {} : { seed }),
  }
}

const oneOrMore = <A>(count: number, make: (index: number) => A): readonly [A, ...ReadonlyArray<A>] => [
  make(0),
  ...Array.from({ length: count - 1 }, (_, index) => make(index + 1)),
]

/** A recipe that is in no file: its errors name the input instead of a place. */
const locatedOf = (recipe: Recipe): Located => {
  const error = (path: Path, problem: string) =>
    new RecipeError({ file: inputOf(path), line: 1, column: 1, problem })
  const text = stringify(recipe, { lineWidth: 0 })
  return { recipe, text, reference: Reference.parse, notes: [], error, errorAtKey: error }
}

/** `models 2 parameters weight` for the path to it. */
const inputOf = (path: Path): string =>
  path.length === 0
    ? "inputs"
    : path.map((step) => (typeof step === "number" ? String(step + 1) : step)).join(" ")
