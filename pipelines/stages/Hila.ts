/**
 * HILA as candidates of a tuning: pruning by importance, adaptive weights by importance, either alone or both.
 *
 * Densities and temperatures are variants, and λ is searched in each. Density 1 leaves task vectors whole; temperature ∞ gives every expert the same share.
 * The formulas beyond the thesis's abstract are this project's reconstruction (see `prune`, `adaptiveWeights`).
 */
import type { Node } from "@hila/core"
import { known } from "@hila/core/Lookup"
import { Stages as Merging } from "@hila/merge"
import type { Runtime, UnitTable } from "@hila/model"
import { type Importance, Stages as Scoring } from "@hila/scoring"
import type { Entry } from "./Baselines.ts"
import { unitCoefficients } from "./Coefficients.ts"
import { type Bench, type Candidate, type Golden, type Model, overLambda, tuned } from "./Tuned.ts"

/** A number per unit of one expert. */
export type Scored = Node.Node<UnitTable.UnitTable, unknown, Runtime, Runtime>

/** How densities follow importance (see `prune`); `floor` is the least density of a unit, as a share of the density. */
export interface Follow {
  readonly gamma: number
  readonly dropFraction: number
  readonly floor: number
  /** What stays inside a unit: the largest unless given. */
  readonly sparsifier?: "magnitude" | "dare" | "della"
}

export interface Settings {
  readonly densities: ReadonlyArray<number>
  /** Infinity: no weighting. */
  readonly temperatures: ReadonlyArray<number>
  readonly residual?: "mean" | "uniform" | "base"
  /** How importance becomes shares (see `adaptiveWeights`); temperatures are the softmax's, which it is unless given. */
  readonly form?: "softmax" | "share" | "winner"
  readonly follow?: Follow
  /** λ of what lies outside all layers, to try beside λ; that of the layers unless given. */
  readonly rests?: readonly [number, ...ReadonlyArray<number>]
  /** Signs elected unit by unit, weighted by the shares (TIES), in place of a sum. */
  readonly elect?: boolean
}

/** The importance of every expert's units on its golden data. */
export const importanceOf = (
  { base, experts }: Pick<Bench, "base" | "experts">,
  golden: ReadonlyArray<Golden>,
  method: Importance.Method,
  scheme: UnitTable.UnitTable["scheme"] = "kvGroup",
  seed = 0,
): ReadonlyArray<Scored> =>
  experts.flatMap((expert, i) => {
    const own = golden[i]
    return own === undefined
      ? []
      : [
          Scoring.importance(
            { base, expert, golden: own },
            // With one seed for all, all would have the same draws, and so equal shares.
            { scheme, method, seed: seed * experts.length + i },
            `${i} ${method} ${scheme}`,
          ),
        ]
  })

const none = { masks: [], layerWeights: [], unitWeights: [], statistics: [] }

/** The experts with their task vectors pruned to a density; whole ones at 1. */
export const pruned = (
  { base, experts }: Pick<Bench, "base" | "experts">,
  scored: ReadonlyArray<Scored>,
  density: number,
  follow: Settings["follow"],
) =>
  density >= 1
    ? experts
    : experts.map((expert, i): Model => {
        const [importance] = scored.slice(i)
        if (importance === undefined) return expert
        const label = [
          `${i} density ${density}`,
          ...(follow === undefined ? [] : [`γ ${follow.gamma}`]),
          ...(follow?.sparsifier === undefined ? [] : [follow.sparsifier]),
        ].join(" ")
        // Where little is significant, what is left to share would not fill a higher least density.
        const { floor, ...others } = follow ?? { floor: undefined }
        const mask = Merging.prune(
          { base, expert, importance },
          {
            density,
            ...others,
            ...(floor === undefined ? {} : { rhoMin: floor * density }),
            // Each expert draws for itself.
            ...(follow?.sparsifier === undefined ? {} : { seed: i }),
          },
          label,
        )
        return Merging.merge(
          { ...none, base: [base], models: [expert], masks: [mask] },
          { method: "task_arithmetic", dtype: "float32" },
          label,
        )
      })

/** The task vectors of HILA's candidates pruned once more, to half their density, in the order of its directions. */
export const prunedAgain = (
  bench: Bench,
  scored: ReadonlyArray<Scored>,
  { densities, follow }: Pick<Settings, "densities" | "follow">,
): ReadonlyArray<Model> => densities.flatMap((density) => pruned(bench, scored, density / 2, follow))

/** The candidates of HILA by settings. */
export const candidates = (
  bench: Bench,
  scored: ReadonlyArray<Scored>,
  { densities, elect = false, follow, form, residual = "mean", temperatures }: Settings,
): readonly [Candidate, ...ReadonlyArray<Candidate>] => {
  const { base } = bench
  const [first, ...others] = densities.flatMap((density) => {
    const directions = pruned(bench, scored, density, follow)
    return temperatures.map((temperature): Candidate => {
      const name = [
        ...(densities.length > 1 ? [`density ${density}`] : []),
        ...(temperatures.length > 1 ? [`T ${temperature}`] : []),
      ].join(", ")
      if (temperature === Infinity && !elect) return { name, directions }
      const weights = Merging.adaptiveWeights(
        { importance: scored },
        { temperature: Math.min(temperature, 1e6), ...(form === undefined ? {} : { form }) },
        form ?? `T ${temperature}`,
      )
      if (!elect)
        return {
          name,
          directions,
          table: unitCoefficients({ base, weights }, { residual }, form ?? `T ${temperature}`),
        }
      const voted = Merging.merge(
        { ...none, base: [base], models: directions, unitWeights: [weights] },
        { method: "ties", parameters: { density: 1, normalize: false }, residual, dtype: "float32" },
        `elected ${name}`,
      )
      return { name, directions: [voted] }
    })
  })
  return [known(first), ...others]
}

/** HILA under a row's name; `needs` is what its importance takes, as a table shows it. */
export const hila = (
  bench: Bench,
  row: string,
  scored: ReadonlyArray<Scored>,
  settings: Settings,
  needs = "a forward pass per unit",
): Entry => {
  const all = candidates(bench, scored, settings)
  const { rests } = settings
  const { domains, search } = overLambda(bench, all.length * (rests?.length ?? 1), 1)
  const plan = { domains: rests === undefined ? domains : { ...domains, rest: rests }, search }
  return { row, needs, tuned: tuned(bench, row, all, plan) }
}
