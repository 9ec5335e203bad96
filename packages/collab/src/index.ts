export { CollabError } from "./CollabError.ts"
export { Compute } from "./Compute.ts"
export * as Stages from "./stages.ts"
