/**
 * Every operator a graph can be written with. Each checks element types (by type) and shapes (while building).
 *
 * An operator that numbers pass through has a rule of differentiation beside it (`ElementwiseAdjoint.ts` and so on);
 * tests compare every rule with differences in float64.
 */
export * from "./Contraction.ts"
export * from "./Elementwise.ts"
export { expandAs, scatterAdd } from "./Extent.ts"
export { concat, dim, gather, gatherElements, halves, reshape, split, transpose } from "./Layout.ts"
