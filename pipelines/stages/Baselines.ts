/**
 * Merge methods that look at weights alone, as candidates of a tuning.
 *
 * Each method's task vector is made once for each of its own settings (as base + τ in float32) and then tuned over λ, all
 * methods with the same number of trials. Methods that average are tried up to K times as far as methods that add.
 */
import { known } from "@hila/core/Lookup"
import { Stages as Merging } from "@hila/merge"
import { type Bench, type Candidate, overLambda, type Tuned, tuned } from "./Tuned.ts"

type Settings = Readonly<Record<string, number | boolean | string>>

/** A method by its name in recipes, and the settings to try. */
interface Method {
  readonly row: string
  readonly method: Parameters<typeof Merging.merge>[1]["method"]
  readonly settings: ReadonlyArray<Settings>
  readonly averages: boolean
  readonly random?: boolean
}

const each = (name: string, all: ReadonlyArray<number>, also: Settings = {}): ReadonlyArray<Settings> =>
  all.map((value) => ({ [name]: value, ...also }))

const methods: ReadonlyArray<Method> = [
  { row: "TIES", method: "ties", settings: each("density", [0.1, 0.2, 0.4, 0.7]), averages: true },
  {
    row: "DARE",
    method: "dare_linear",
    settings: each("density", [0.2, 0.5, 0.8]),
    averages: false,
    random: true,
  },
  {
    row: "DARE-TIES",
    method: "dare_ties",
    settings: each("density", [0.2, 0.5, 0.8], { normalize: true }),
    averages: true,
    random: true,
  },
  {
    row: "DELLA",
    method: "della",
    settings: each("density", [0.3, 0.5, 0.7], { normalize: true }),
    averages: true,
    random: true,
  },
  { row: "breadcrumbs", method: "breadcrumbs", settings: each("density", [0.3, 0.6, 0.9]), averages: false },
  { row: "PCB", method: "pcb", settings: each("r", [0.05, 0.1, 0.2, 0.5]), averages: true },
  { row: "consensus", method: "consensus_ta", settings: each("threshold", [0.2, 0.4, 0.6]), averages: false },
  { row: "model stock", method: "model_stock", settings: [{}], averages: true },
  { row: "SCE", method: "sce", settings: each("select_topk", [0.1, 0.5, 1]), averages: true },
]

const named = (settings: Settings): string =>
  Object.entries(settings)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => `${name} ${value}`)
    .join(" ")

/** base + τ of a method with its λ at 1, in float32. */
export const direction = (
  { base, experts }: Pick<Bench, "base" | "experts">,
  method: Method["method"],
  parameters: Settings,
  label: string,
  seed = 0,
) =>
  Merging.merge(
    { base: [base], models: experts, masks: [], layerWeights: [], unitWeights: [], statistics: [] },
    { method, parameters, seed, profile: "paper", dtype: "float32" },
    label,
  )

/** A method with the name of its row; several of one row are seeds of one method. */
export interface Entry {
  readonly row: string
  readonly tuned: Tuned
  /** What it needs of golden data before tuning, for people: passes per example. */
  readonly needs?: string
}

/** Task arithmetic: one λ for all (Ilharco et al., 2023). The one to beat. */
export const taskArithmetic = (bench: Bench): Entry => ({
  row: "task arithmetic",
  tuned: tuned(bench, "task arithmetic", [{ name: "", directions: bench.experts }]),
})

/** LiNeS: λ grows with depth (Wang et al., 2024). What every method that weighs layers or heads has to beat as well. */
export const lines = (bench: Bench): Entry => ({
  row: "LiNeS",
  tuned: tuned(bench, "LiNeS", [{ name: "", directions: bench.experts }], {
    domains: { slope: { least: -0.8, greatest: 2 }, lambda: { least: 0.1, greatest: 0.8 } },
    search: { _tag: "evolution", trials: bench.budget, seed: 0 },
  }),
})

/** All of them; what draws at random by as many seeds as asked for. */
export const baselines = (bench: Bench, seeds: number): ReadonlyArray<Entry> => [
  taskArithmetic(bench),
  lines(bench),
  ...methods.flatMap(({ averages, method, random = false, row, settings }) =>
    Array.from({ length: random ? seeds : 1 }, (_, seed): Entry => {
      const label = random ? `${row} ${seed}` : row
      const candidates = settings.map((own): Candidate => {
        const name = named(own)
        return { name, directions: [direction(bench, method, own, `${label} ${name}`, seed)] }
      })
      const [first, ...others] = candidates
      const most = averages ? 1.2 * bench.experts.length : 1.2
      return {
        row,
        tuned: tuned(bench, label, [known(first), ...others], overLambda(bench, candidates.length, most)),
      }
    }),
  ),
]
