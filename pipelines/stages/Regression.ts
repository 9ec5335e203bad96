/**
 * Loss-aware regression fusion as candidates of a tuning: golden data decides inside each matrix, not unit by unit.
 *
 *     W* = argmin_W Σ_t tr(S_t (W − W_t) A_t (W − W_t)ᵀ) + ρ s |W − W_TA|²;   what is no linear layer: W_0 + λ_rest Σ_t δ_t
 *
 * A_t and S_t from answers drawn from expert t itself, where its expected gradient is 0 and the factors approximate the
 * Hessian of its golden loss (see the method `factored`). ρ and the λ of W_TA are variants, λ_rest is searched: two
 * checkpoints per variant, base + what is solved and base + the rest, whose sum with λ_rest of the second is the merge.
 */
import type { Node } from "@hila/core"
import { known } from "@hila/core/Lookup"
import { Stages as Merging, type UnitWeights } from "@hila/merge"
import type { Runtime, WeightStatistics } from "@hila/model"
import { Stages as Scoring } from "@hila/scoring"
import type { Entry } from "./Baselines.ts"
import { damping, inputsOf } from "./Factors.ts"
import { type Bench, type Candidate, type Golden, type Model, type Plan, tuned } from "./Tuned.ts"

export type Statistics = Node.Node<WeightStatistics.WeightStatistics, unknown, Runtime, Runtime>

/** Which factors there are, and how fine. */
export interface Form {
  /** `gram`: S = I, ridge RegMean. */
  readonly kind: "gram" | "kronecker"
  /** By heads as blocks, and inside of the MLP as diagonals. */
  readonly blocked?: boolean
}

type Stiffness = Node.Node<UnitWeights.UnitWeights, unknown, Runtime, Runtime>

export interface Settings {
  readonly rhos: ReadonlyArray<number>
  /** λ of the task arithmetic that the ridge pulls to. */
  readonly lambdas: ReadonlyArray<number>
  /** Whether the embedding is solved too, where there are statistics of it. */
  readonly embedding?: boolean
  /** In place of the experts: their task vectors pruned, say. */
  readonly targets?: ReadonlyArray<Model>
  /** How strong the ridge is in each unit, one number per unit; the same everywhere unless given. */
  readonly stiffness?: Stiffness
}

const none = { masks: [], layerWeights: [], unitWeights: [], statistics: [] }

/** What each expert's linear layers meet on answers of its own. */
export const statisticsOf = (
  { experts }: Pick<Bench, "experts">,
  drawn: ReadonlyArray<Golden>,
  { blocked = false, kind }: Form,
): ReadonlyArray<Statistics> =>
  experts.flatMap((model, i) =>
    drawn
      .slice(i, i + 1)
      .map((examples) =>
        Scoring.statistics(
          { model, examples },
          { kind, blocked },
          `${i} ${kind}${blocked ? " blocked" : ""}`,
        ),
      ),
  )

type Models = Pick<Bench, "base" | "experts">

/** base + what is solved, the rest as in the base, in float32. */
const solved = (
  { base, experts }: Models,
  statistics: ReadonlyArray<Statistics>,
  parameters: Readonly<Record<string, number | boolean>>,
  label: string,
): Model =>
  Merging.merge(
    { ...none, base: [base], models: experts, statistics },
    { method: "factored", parameters: { lambda_rest: 0, ...parameters }, dtype: "float32" },
    label,
  )

/** The same with a ridge of its own strength in each unit: its pull is that of one model more. */
const solvedStiff = (
  { base, experts }: Models,
  statistics: ReadonlyArray<Statistics>,
  stiffness: Stiffness,
  { lambda, rho }: { readonly lambda: number; readonly rho: number },
  label: string,
): Model => {
  const arithmetic = Merging.merge(
    { ...none, base: [base], models: experts },
    { method: "task_arithmetic", parameters: { lambda }, dtype: "float32" },
    `λ ${lambda}`,
  )
  const pull = damping({ model: base, statistics, weights: stiffness }, { rho }, label)
  return solved(
    { base, experts: [...experts, arithmetic] },
    [...statistics, pull],
    { rho: 0, embedding: false },
    label,
  )
}

/** base + Σ δ of what is not solved: both with λ_rest 1, less that with 0. */
const unsolved = (
  models: Models,
  statistics: ReadonlyArray<Statistics>,
  embedding: boolean,
  label: string,
) => {
  const parts = [1, 0].map((rest) =>
    solved(
      models,
      statistics,
      { rho: 1, iterations: 0, embedding, lambda_rest: rest },
      `${label} rest ${rest}`,
    ),
  )
  return Merging.merge(
    { ...none, base: [models.base], models: parts },
    {
      method: "task_arithmetic",
      perModel: [{ weight: 1 }, { weight: -1 }],
      dtype: "float32",
    },
    `${label} rest`,
  )
}

/** λ_rest is the coefficient of the second checkpoint; what is solved has 1. */
const overRest = ({ budget }: Bench, candidates: number): Plan => ({
  domains: { "expert.1": { least: 0, greatest: 1 } },
  search: {
    _tag: "refine",
    number: "expert.1",
    trials: budget,
    steps: Math.max(2, Math.min(6, Math.floor((0.6 * budget) / candidates))),
  },
})

/** One way of a regression: its statistics, one file per expert, and the numbers to try. */
export interface Way {
  readonly name: string
  readonly statistics: ReadonlyArray<Statistics>
  readonly settings: Settings
}

const candidatesOf = (
  bench: Models,
  row: string,
  { name: way, settings, statistics }: Way,
): ReadonlyArray<Candidate> => {
  const { embedding = false, lambdas, rhos, stiffness, targets = bench.experts } = settings
  const models = { base: bench.base, experts: targets }
  const own = [row, way].filter((part) => part !== "").join(" ")
  const rest = unsolved(models, statistics, embedding, own)
  return rhos.flatMap((rho) =>
    lambdas.map((lambda): Candidate => {
      const name = [way, `ρ ${rho}, λ ${lambda}`].filter((part) => part !== "").join(", ")
      const label = `${row} ${name}`
      const inner =
        stiffness === undefined
          ? solved(models, statistics, { rho, lambda, embedding }, label)
          : solvedStiff(models, statistics, stiffness, { rho, lambda }, label)
      return { name, directions: [inner, rest] }
    }),
  )
}

/** Regression fusion in several ways, of which tuning takes the best; all share one budget. */
export const regressionAmong = (bench: Bench, row: string, ways: ReadonlyArray<Way>): Entry => {
  const [first, ...others] = ways.flatMap((way) => candidatesOf(bench, row, way))
  return { row, tuned: tuned(bench, row, [known(first), ...others], overRest(bench, 1 + others.length)) }
}

/** Regression fusion with given statistics, one file per expert. */
export const regressionWith = (
  bench: Bench,
  row: string,
  statistics: ReadonlyArray<Statistics>,
  settings: Settings,
): Entry => regressionAmong(bench, row, [{ name: "", statistics, settings }])

/**
 * Statistics with the inputs that the same answers have in a merged model, where they will be (RegMean++: 2508.03121, all
 * layers at once instead of one by one).
 */
export const inside = (
  merged: Model,
  drawn: ReadonlyArray<Golden>,
  statistics: ReadonlyArray<Statistics>,
): ReadonlyArray<Statistics> =>
  statistics.flatMap((gradients, i) =>
    drawn.slice(i, i + 1).map((examples) =>
      inputsOf(
        {
          gradients,
          inputs: Scoring.statistics({ model: merged, examples }, { kind: "gram" }, `${i} gram inside`),
        },
        {},
        `${i} inside`,
      ),
    ),
  )

/** Regression fusion on drawn answers. */
export const regression = (
  bench: Bench,
  row: string,
  drawn: ReadonlyArray<Golden>,
  form: Form,
  settings: Settings,
): Entry => ({
  ...regressionWith(bench, row, statisticsOf(bench, drawn, form), settings),
  needs: form.kind === "gram" ? "a forward pass" : "a pass forward and back",
})
