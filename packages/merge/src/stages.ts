/**
 * The methods of this package as pipeline stages.
 *
 * Each is the plain function on the values of its input nodes; a checkpoint or mask is written to the stage's own
 * directory and kept by the store.
 */
import { Choice, Stage } from "@hila/core"
import { Checkpoint, UnitTable, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { adaptiveWeights as adaptiveWeightsOf } from "./units/AdaptiveWeights.ts"
import { fuse as fuseOf } from "./Fuse.ts"
import * as LayerWeights from "./units/LayerWeights.ts"
import { linear as linearOf } from "./Linear.ts"
import * as Mask from "./units/Mask.ts"
import { names, versions } from "./methods/names.ts"
import { MergeError } from "./MergeError.ts"
import { prune as pruneOf } from "./prune/Prune.ts"
import { Acceptable, DtypeName, Parameters } from "./recipe/RecipeSchema.ts"
import { taskArithmetic as taskArithmeticOf } from "./TaskArithmetic.ts"
import * as UnitWeights from "./units/UnitWeights.ts"

const scratch = (name: string) => Effect.map(Stage.scratch, (directory) => join(directory, name))
const withDefault = (value: number) =>
  Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(value)))
const weights = Schema.optionalKey(Schema.Array(Schema.Finite))

/** The weighted average of models, uniform without `weights`. */
export const linear = Stage.make({
  name: "linear",
  version: 1,
  inputs: { models: Stage.each(Checkpoint.artifact) },
  params: { weights },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* linearOf(inputs, { ...params, card: false }, yield* scratch("merged"))
  }),
})

/** The base plus λ times the sum of task vectors. */
export const taskArithmetic = Stage.make({
  name: "task-arithmetic",
  version: 1,
  inputs: { base: Checkpoint.artifact, experts: Stage.each(Checkpoint.artifact) },
  params: { lambda: Schema.Finite, weights },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* taskArithmeticOf(inputs, { ...params, card: false }, yield* scratch("merged"))
  }),
})

/** The mask of an expert's task vector by the importance of its units. */
export const prune = Stage.make({
  name: "prune",
  version: 1,
  inputs: { base: Checkpoint.artifact, expert: Checkpoint.artifact, importance: UnitTable.artifact },
  params: {
    density: withDefault(0.5),
    dropFraction: withDefault(0.1),
    gamma: withDefault(1),
    rhoMin: withDefault(0.05),
    sparsifier: Schema.optionalKey(Schema.Literals(["magnitude", "dare", "della"])),
    seed: Schema.optionalKey(Schema.Int),
  },
  output: Mask.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* pruneOf(inputs, params, yield* scratch("mask.safetensors"))
  }),
})

/** Each expert's share in each unit, by a softmax over its relative importance. */
export const adaptiveWeights = Stage.make({
  name: "adaptive-weights",
  version: 1,
  inputs: { importance: Stage.each(UnitTable.artifact) },
  params: {
    temperature: withDefault(1),
    form: Schema.optionalKey(Schema.Literals(["softmax", "share", "winner"])),
  },
  output: UnitWeights.artifact,
  run: (inputs, params) => adaptiveWeightsOf(inputs, params),
})

/** The base plus λ times the masked task vectors, weighted unit by unit. */
export const fuse = Stage.make({
  name: "fuse",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    experts: Stage.each(Checkpoint.artifact),
    masks: Stage.each(Mask.artifact),
    weights: UnitWeights.artifact,
  },
  params: {
    lambda: Schema.Finite,
    residual: Schema.Literals(["mean", "uniform", "base"]).pipe(
      Schema.withConstructorDefault(Effect.succeed("mean" as const)),
    ),
    unitLambda: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite)),
    signElection: Schema.optionalKey(Schema.Boolean),
  },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* fuseOf(inputs, { ...params, card: false }, yield* scratch("merged"))
  }),
})

/**
 * Any method of recipes, by its name, with masks, coefficients by layer or unit, and statistics where there are any.
 *
 * Empty lists are absent inputs: at most one base; masks one per model; statistics one per model, then the base's. A
 * weight that neither `perModel` nor `parameters` gives is 1.
 */
export const merge = Stage.make({
  name: "merge",
  version: 1,
  inputs: {
    base: Stage.each(Checkpoint.artifact),
    models: Stage.each(Checkpoint.artifact),
    masks: Stage.each(Mask.artifact),
    layerWeights: Stage.each(LayerWeights.artifact),
    unitWeights: Stage.each(UnitWeights.artifact),
    statistics: Stage.each(WeightStatistics.artifact),
  },
  params: {
    method: Choice.schema(names, versions),
    parameters: Parameters.pipe(Schema.withConstructorDefault(Effect.succeed({}))),
    perModel: Schema.optionalKey(Schema.Array(Parameters)),
    seed: withDefault(0),
    profile: Schema.optionalKey(Schema.Literals(["tool", "paper"])),
    accept: Schema.optionalKey(Schema.Array(Acceptable)),
    residual: Schema.optionalKey(Schema.Literals(["mean", "uniform", "base"])),
    dtype: Schema.optionalKey(DtypeName),
  },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* ({ base: bases, ...inputs }, params) {
    const [base, second] = bases
    if (second !== undefined) {
      const problem = `expected at most one, got ${bases.length}`
      return yield* new MergeError({ method: params.method, input: "base", problem })
    }
    // The methods and the readers of recipes are loaded when a merge runs, not when a pipeline is planned.
    const { merge: mergeOf } = yield* Effect.promise(() => import("./Merge.ts"))
    return yield* mergeOf({ base, ...inputs }, params, yield* scratch("merged"))
  }),
})
