/**
 * Every operator a graph can be written with. Each checks element types (by type) and shapes (while building).
 */
export * from "./Contraction.ts"
export * from "./Elementwise.ts"
export { expandAs, scatterAdd } from "./Extent.ts"
export { concat, dim, gather, gatherElements, halves, reshape, split, transpose } from "./Layout.ts"
