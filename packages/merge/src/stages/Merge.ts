/** The stage `merge`. */
import { Choice, Stage } from "@hila/core"
import { Checkpoint, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { names, versions } from "../methods/names.ts"
import { MergeError } from "../MergeError.ts"
import { Acceptable, DtypeName, Parameters } from "../recipe/RecipeSchema.ts"
import * as LayerWeights from "../units/LayerWeights.ts"
import * as Mask from "../units/Mask.ts"
import * as UnitWeights from "../units/UnitWeights.ts"
import { scratch, withDefault } from "./Params.ts"

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
    const { merge: mergeOf } = yield* Effect.promise(() => import("../Merge.ts"))
    return yield* mergeOf({ base, ...inputs }, params, yield* scratch("merged"))
  }),
})
