/**
 * The methods of this package as pipeline stages, each in a module of its own, by which its source is known.
 *
 * Each is the plain function on the values of its input nodes; a checkpoint or mask is written to the stage's own
 * directory and kept by the store.
 */
export { adaptiveWeights } from "./stages/AdaptiveWeights.ts"
export { fuse } from "./stages/Fuse.ts"
export { linear } from "./stages/Linear.ts"
export { merge } from "./stages/Merge.ts"
export { prune } from "./stages/Prune.ts"
export { taskArithmetic } from "./stages/TaskArithmetic.ts"
