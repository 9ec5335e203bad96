/**
 * Hi-Merging (Fu et al., ACL 2025, arXiv 2506.12379; by summaries, its code is not public): prune and scale whole models,
 * then settle conflicts layer by layer.
 *
 * Model-wise: the top share p of |δ| of each expert, times s; p and s tuned as every method is. Layer-wise: the conflict
 * γ = c(own model) − c(merged model) of each expert's layer, with c what the layer's change is worth to the expert's own
 * golden data (revert, in loss). In descending Σ γ: two or more experts in conflict, the one whose layer is worth most
 * keeps it and the others' go; one, its layer is pruned and scaled once more, by half of p and s; none, the layer stays.
 * Deviations: conflicts have to be significant (2 standard errors), for K experts and not two, and are measured once, not
 * again after every layer.
 */
import { Artifact, Stage } from "@hila/core"
import { Stages as Merging } from "@hila/merge"
import { Checkpoint, Example, LanguageModel, LayerGroup } from "@hila/model"
import { Conflict, Statistics } from "@hila/scoring"
import * as Effect from "effect/Effect"
import type { Entry } from "./Baselines.ts"
import * as Coefficients from "./Coefficients.ts"
import * as Trials from "./Trials.ts"
import { type Bench, type Golden, type Model, overLambda, tuned } from "./Tuned.ts"

/** Shares that are tried; half of each is there for layers that are pruned once more. */
const shares = [0.1, 0.2, 0.4, 0.8] as const

/** What each expert has to say about one layer. */
export interface Claim {
  /** The layer's unit. */
  readonly unit: string
  /** What the layer's change is worth in the expert itself, nats. */
  readonly worth: number
  /** γ, nats; whether it is above 0 by more than its error. */
  readonly conflict: number
  readonly significant: boolean
}

/** What becomes of an expert's change in a layer. */
export type Verdict = "keep" | "drop" | "halve"

/** The verdicts on one layer, in the order of the experts. */
export const settle = (claims: ReadonlyArray<Claim>): ReadonlyArray<Verdict> => {
  const against = claims.filter(({ conflict, significant }) => significant && conflict > 0)
  const best = against.reduce<Claim | undefined>(
    (most, claim) => (most === undefined || claim.worth > most.worth ? claim : most),
    undefined,
  )
  return claims.map((claim) => {
    if (!against.includes(claim)) return "keep"
    return against.length === 1 ? "halve" : claim === best ? "keep" : "drop"
  })
}

const Conflicts = Artifact.json("conflicts-of-expert", Conflict.Conflicts)

/** Which expert's layers stay, of directions by share and expert: `shares` of all experts, and behind them their halves. */
const settled = Stage.make({
  name: "hi-merging",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    directions: Stage.each(Checkpoint.artifact),
    choice: Trials.choiceArtifact,
    merged: Checkpoint.artifact,
    golden: Stage.each(Example.artifact),
  },
  output: Coefficients.artifact,
  environment: [LanguageModel],
  run: Effect.fnUntraced(function* ({ base, choice, directions, golden, merged }) {
    const scale = choice.setting["lambda"] ?? 1
    const found = yield* Stage.forEach(
      golden,
      Effect.fnUntraced(function* (examples, k) {
        const expert = directions[choice.directions[k] ?? 0] ?? base
        return yield* Conflict.measure(
          { base, expert, merged, golden: examples },
          { scheme: "layer", coefficient: scale },
        )
      }),
      { part: (_, k) => `expert-${k}`, output: Conflicts },
    )
    const claims = found.map(({ rows }) =>
      rows.map(({ conflict, own, unit }): Claim => ({
        unit,
        worth: own.score,
        conflict: conflict.score,
        significant: Statistics.isSignificant(conflict.score, conflict.standardError),
      })),
    )
    const none = Array.from<number>({ length: directions.length }).fill(0)
    const whole = none.map((_, i) => (choice.directions.includes(i) ? scale : 0))
    const layers = (claims[0] ?? []).map(({ unit }, l) => {
      const verdicts = settle(claims.flatMap((own) => own[l] ?? []))
      const weights = none.slice()
      for (const [k, verdict] of verdicts.entries()) {
        const at = choice.directions[k] ?? 0
        if (verdict === "keep") weights[at] = scale
        // The halves of all shares follow the shares.
        if (verdict === "halve") weights[at + directions.length / 2] = scale / 2
      }
      return { group: unit, weights }
    })
    const others = [...new Set([...base.tensors.keys()].map(LayerGroup.of))]
    return {
      scheme: "layer" as const,
      rows: [...layers, ...others.map((group) => ({ group, weights: whole }))],
    }
  }),
})

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

/** Hi-Merging, and its first step alone. */
export const hiMerging = (bench: Bench, golden: ReadonlyArray<Golden>): ReadonlyArray<Entry> => {
  const [first, ...others] = shares.map((share) => ({
    name: `p ${share}`,
    directions: trimmed(bench, share),
  }))
  if (first === undefined) return []
  const wise = tuned(bench, "Hi-Merging, models", [first, ...others], overLambda(bench, shares.length))
  const directions = [
    ...[first, ...others].flatMap((candidate) => candidate.directions),
    ...shares.flatMap((share) => trimmed(bench, share / 2)),
  ]
  const table = settled(
    { base: bench.base, directions, choice: wise.choice, merged: wise.model, golden },
    {},
    "all",
  )
  return [
    { row: "Hi-Merging, models only", tuned: wise },
    {
      row: "Hi-Merging",
      needs: "two forward passes per layer",
      tuned: tuned(bench, "Hi-Merging", [{ name: "", directions, table }], {
        domains: { lambda: [0.9, 1, 1.1] },
        search: { _tag: "grid" },
      }),
    },
  ]
}
