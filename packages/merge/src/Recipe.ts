/**
 * Merging by recipe, the YAML of the existing merge tool and more, and by any method on values: `@hila/merge/Recipe`.
 *
 * Apart from the index because it loads every method and a YAML reader, which pipelines need not.
 */
export * as Prepared from "./plan/Prepared.ts"
export * as Report from "./plan/Report.ts"
export { merge, type MergeInputs, type MergeParams, mergeRecipe } from "./Merge.ts"
export type { Options } from "./Options.ts"
export { mergePrepared, type RecipeMergeError } from "./output/Result.ts"
export { preflight, reportOf } from "./plan/Preflight.ts"
export { type Acceptable, acceptable, jsonSchema } from "./recipe/RecipeSchema.ts"
