/**
 * What a head is: how it joins its experts, their sizes and its own.
 *
 * The formulas are reconstructions from standard practice; the thesis they follow, "Hierarchical Collaborative
 * Architecture for Small Language Models Based on Layered Integration Strategy" (Yu 2025), is public as an outline only.
 */
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * How experts are joined.
 *
 * `static`: Σ wᵢ softmax(zᵢ/Tᵢ), w = softmax(v). `gated`: Σ gᵢ(x) softmax(zᵢ). `gatedFeatures`: W Σ gᵢ fᵢ + b. `concat`:
 * an MLP over [f₁;…;f_M]. `attention`: multi-head attention over experts. `stacking`: multinomial regression on log pᵢ.
 * `bilinear`: Σ (U fᵢ) ⊙ (V fⱼ) over pairs. `hierarchy`: attention inside groups, then across groups. `regression`:
 * multinomial regression on the experts' raw features, a baseline.
 */
export const strategies = [
  "static",
  "gated",
  "gatedFeatures",
  "concat",
  "attention",
  "stacking",
  "bilinear",
  "hierarchy",
  "regression",
] as const
export const Strategy = Schema.Literals(strategies)
export type Strategy = typeof Strategy.Type

/** Strategies whose experts are weighed by the gate. */
export const isGated = (strategy: Strategy): boolean =>
  strategy !== "static" && strategy !== "stacking" && strategy !== "regression"

/** Experts a strategy needs at least: pairs take two. */
export const leastExperts = (strategy: Strategy): number => (strategy === "bilinear" ? 2 : 1)

/** Numbers of experts a head is judged with: all, and those of `topK` that its strategy can do with. */
export const choices = (
  strategy: Strategy,
  count: number,
  topK: ReadonlyArray<number>,
): ReadonlyArray<number> => [
  count,
  ...(isGated(strategy) ? topK.filter((k) => k < count && k >= leastExperts(strategy)) : []),
]

/** Strategies that read the experts' features, and those that read their logits. */
export const readsLogits = (strategy: Strategy): boolean =>
  strategy === "static" || strategy === "gated" || strategy === "stacking"

export const HeadSpec = Schema.Struct({
  strategy: Strategy,
  experts: Schema.Array(Schema.Struct({ name: Schema.String, width: Count })),
  classes: Count,
  /** Width of what the gate is asked with. */
  query: Count,
  /** The common width that features are projected to. */
  width: Count,
  /** Hidden units of the gate and of the MLP. */
  hidden: Count,
  /** Attention heads; they divide `width`. */
  heads: Count,
  /** Rank of the bilinear form. */
  rank: Count,
  /** Experts by group, for `hierarchy`. */
  groups: Schema.Array(Schema.Array(Schema.Int)),
  /** Of each expert's logits. */
  temperatures: Schema.Array(Schema.Finite),
})
export type HeadSpec = typeof HeadSpec.Type
