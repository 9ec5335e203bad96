/**
 * Hi-Merging (Fu et al., ACL 2025, arXiv 2506.12379): prune and scale whole models, then settle conflicts layer by layer.
 *
 * Model-wise: the top share p of |δ| of each expert, times s. Layer-wise: see `Conflicts` and `ConflictInMerge`; a layer
 * that is pruned and scaled once more has half of p and s.
 *
 * From the source (by two summaries of the paper, its repository's README and scripts): both steps; c = α + β and γ; the
 * order, and that it is iterative; the three cases; that contributions in the merge are those of the whole merged layer;
 * that the merge is a sum.
 * Reconstruction: loss on golden data in place of task scores. One p and one s = λ for all experts, tuned as every
 * method is, where the authors search both on a grid of 0.1. The own model is the expert as the merge takes it, at its p
 * and s: with the expert as it is, γ is above 0 in every layer of a merge with s well below 1, conflict or not. γ > 0
 * without a test of significance (`errors` asks for one). More than two experts: see `Conflicts`. The pruned layer has
 * the top p/2 of the whole model. λ of the result is tried at 0.9, 1 and 1.1.
 */
import { Stages as Merging } from "@hila/merge"
import type { Entry } from "./Baselines.ts"
import { type Options, settled } from "./Conflicts.ts"
import { type Bench, type Golden, type Model, overLambda, tuned } from "./Tuned.ts"

/** Shares that are tried, of the authors' 0.1 … 1; half of each is there for layers that are pruned once more. */
const shares = [0.1, 0.2, 0.5, 1] as const

/** The top share of an expert's task vector, over the whole model. */
const trimmed = ({ base, experts }: Pick<Bench, "base" | "experts">, share: number): ReadonlyArray<Model> =>
  experts.map((expert, k) =>
    Merging.merge(
      { base: [base], models: [expert], masks: [], layerWeights: [], unitWeights: [], statistics: [] },
      {
        method: "ties",
        parameters: { density: share, normalize: false },
        profile: "paper",
        dtype: "float32",
      },
      `top ${share} of ${k}`,
    ),
  )

/** As the source has it: measured again after each layer, every γ above 0 a conflict. */
const asPublished: Options = { every: 1, errors: 0, removed: "all" }

/** Hi-Merging, and its first step alone. */
export const hiMerging = (
  bench: Bench,
  golden: ReadonlyArray<Golden>,
  options: Partial<Options> = {},
): ReadonlyArray<Entry> => {
  const [first, ...others] = shares.map((share) => ({
    name: `p ${share}`,
    directions: trimmed(bench, share),
  }))
  if (first === undefined) return []
  const wise = tuned(bench, "Hi-Merging, models", [first, ...others], overLambda(bench, shares.length))
  const again = shares.flatMap((share) => trimmed(bench, share / 2))
  return [
    { row: "Hi-Merging, models only", tuned: wise },
    settled(bench, "Hi-Merging", wise, again, golden, { ...asPublished, ...options }),
  ]
}
