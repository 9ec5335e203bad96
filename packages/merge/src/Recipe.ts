/**
 * Merging by recipe, the YAML of the existing merge tool and more: `@hila/merge/Recipe`.
 *
 * Apart from the index because it loads every method and a YAML reader, which pipelines need not.
 */
export * as Prepared from "./plan/Prepared.ts"
export * as Report from "./plan/Report.ts"
export {
  mergePrepared,
  mergeRecipe,
  type Options,
  preflight,
  type RecipeMergeError,
  reportOf,
} from "./output/Result.ts"
export { merge, type MergeInputs, type MergeParams } from "./Merge.ts"
export { type Acceptable, acceptable, jsonSchema } from "./recipe/RecipeSchema.ts"
