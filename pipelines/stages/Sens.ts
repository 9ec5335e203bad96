/**
 * Sens-Merging as candidates of a tuning, on top of task arithmetic, TIES and DARE.
 *
 * Task vectors are first processed by the method below it, expert by expert (TIES: trimmed, and what disagrees with the
 * elected sign dropped; DARE: dropped and scaled up), then weighted by σ. T is swept, λ searched at each.
 */
import { known } from "@hila/core/Lookup"
import { Stages as Merging } from "@hila/merge"
import { Stages as Scoring } from "@hila/scoring"
import type { Entry } from "./Baselines.ts"
import { type Options, sensCoefficients } from "./SensWeights.ts"
import { type Bench, type Golden, type Model, overLambda, tuned } from "./Tuned.ts"

/** What σ weighs. */
export type Below = "task arithmetic" | "TIES" | "DARE"

const none = { masks: [], layerWeights: [], unitWeights: [], statistics: [] }

/** base + what TIES leaves of each expert: the top fifth, without what disagrees with the elected signs. */
export const elected = (
  { base, experts }: Pick<Bench, "base" | "experts">,
  density = 0.2,
): ReadonlyArray<Model> =>
  experts.map((_, own) =>
    Merging.merge(
      { ...none, base: [base], models: experts },
      {
        method: "ties",
        parameters: { density, normalize: false },
        // Votes are not weighted in the paper's form, so that all elect and one is added.
        perModel: experts.map((_each, i) => ({ weight: i === own ? 1 : 0 })),
        profile: "paper",
        dtype: "float32",
      },
      `TIES of ${own}`,
    ),
  )

/** base + what DARE leaves of each expert, each with draws of its own. */
const dropped = ({ base, experts }: Pick<Bench, "base" | "experts">, density = 0.8): ReadonlyArray<Model> =>
  experts.map((expert, i) =>
    Merging.merge(
      { ...none, base: [base], models: [expert] },
      { method: "dare_linear", parameters: { density }, seed: i, profile: "paper", dtype: "float32" },
      `DARE of ${i}`,
    ),
  )

const directionsOf = (bench: Bench, below: Below): ReadonlyArray<Model> =>
  below === "TIES" ? elected(bench) : below === "DARE" ? dropped(bench) : bench.experts

/** Sensitivities of every expert on its own golden data, and distances of all from each on its data. */
export const measured = ({ experts }: Pick<Bench, "experts">, golden: ReadonlyArray<Golden>) => {
  const sets = experts.flatMap((model, i) => golden.slice(i, i + 1).map((examples) => ({ model, examples })))
  return {
    sensitivities: sets.map(({ examples, model }, i) => Scoring.sensitivity({ model, examples }, {}, `${i}`)),
    distances: sets.map(({ examples, model }, i) =>
      Scoring.logitDistance({ specialist: model, others: experts, examples }, { norm: "euclidean" }, `${i}`),
    ),
  }
}

/** Sens-Merging at several temperatures. */
export const sens = (
  bench: Bench,
  row: string,
  below: Below,
  tables: ReturnType<typeof measured>,
  {
    temperatures,
    ...options
  }: Omit<Options, "temperature"> & { readonly temperatures: ReadonlyArray<number> },
): Entry => {
  const directions = directionsOf(bench, below)
  const [first, ...others] = temperatures.map((temperature) => ({
    name: `T ${temperature}`,
    directions,
    table: sensCoefficients(tables, { ...options, temperature }, `${options.use} T ${temperature}`),
  }))
  const most = below === "TIES" ? 2 : 1
  const needs = "a pass forward and back, a forward pass per expert"
  return {
    row,
    needs,
    tuned: tuned(bench, row, [known(first), ...others], overLambda(bench, temperatures.length, most)),
  }
}
