/**
 * Everything of this package as pipeline stages.
 */
export * from "./ExpertStages.ts"
export * from "./HeadStages.ts"
export * from "./EvaluationStages.ts"
export { bundle } from "./BundleStage.ts"
