/** Looking at checkpoints: what one is, how far two are apart, and an adapter from a difference: `@hila/merge/Tools`. */
export * as Compare from "./tools/Compare.ts"
export * as Inspect from "./tools/Inspect.ts"
export { type Extraction, extractLora } from "./tools/ExtractLora.ts"
