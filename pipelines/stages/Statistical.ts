/**
 * Methods that are given statistics of golden data: Fisher, RegMean, LED, AIM. (The regression is in `Regression`.)
 *
 * Each is a checkpoint for each of its own settings, and what is searched is how far to go from the base towards it.
 */
import { Stage } from "@hila/core"
import { at, known } from "@hila/core/Lookup"
import { Stages as Merging } from "@hila/merge"
import { Example, type WeightStatistics } from "@hila/model"
import { Stages as Scoring } from "@hila/scoring"
import * as Effect from "effect/Effect"
import { type Entry, taskArithmetic } from "./Baselines.ts"
import { type Bench, type Candidate, type Golden, type Model, overLambda, tuned } from "./Tuned.ts"

type Kind = WeightStatistics.Kind

/** All examples of several sets as one. */
const joined = Stage.make({
  name: "joined",
  version: 1,
  inputs: { sets: Stage.each(Example.artifact) },
  output: Example.artifact,
  run: ({ sets }) => Effect.succeed(sets.flat()),
})

const statistics = (model: Model, examples: Golden, kind: Kind, label: string) =>
  Scoring.statistics({ model, examples }, { kind }, label)

/** Of every expert on its own golden data. */
const ofExperts = ({ experts }: Pick<Bench, "experts">, golden: ReadonlyArray<Golden>, kind: Kind) =>
  experts.flatMap((expert, i) =>
    golden.slice(i, i + 1).map((examples) => statistics(expert, examples, kind, `${kind} ${i}`)),
  )

type Statistics = ReturnType<typeof ofExperts>

/** A value of a method's setting, for all experts or by expert. */
type Setting = Readonly<Record<string, number | ReadonlyArray<number>>>

const shown = (value: Setting[string]): string => (typeof value === "number" ? `${value}` : value.join("/"))

/** A method's checkpoints, one per value of its setting. */
const each = (
  method: Parameters<typeof Merging.merge>[1]["method"],
  inputs: {
    readonly base: ReadonlyArray<Model>
    readonly models: ReadonlyArray<Model>
    readonly statistics: Statistics
  },
  settings: ReadonlyArray<Setting>,
): readonly [Candidate, ...ReadonlyArray<Candidate>] => {
  const [first, ...others] = settings.map((setting): Candidate => {
    const all = Object.entries(setting)
    const name = all.map(([key, value]) => `${key} ${shown(value)}`).join(" ")
    const parameters = Object.fromEntries(all.filter(([, value]) => typeof value === "number"))
    const own = all.flatMap(([key, value]) => (typeof value === "number" ? [] : [[key, value] as const]))
    const perModel = inputs.models.map((_, i) =>
      Object.fromEntries(own.map(([key, value]) => [key, at(value, i)])),
    )
    const merged = Merging.merge(
      { masks: [], layerWeights: [], unitWeights: [], ...inputs },
      { method, parameters, ...(own.length === 0 ? {} : { perModel }), dtype: "float32" },
      `${method} ${name}`,
    )
    return { name, directions: [merged] }
  })
  return [known(first), ...others]
}

const swept = (name: string, values: ReadonlyArray<Setting[string]>) =>
  values.map((value) => ({ [name]: value }))

/**
 * LED's rates in its paper's examples (safety, math, code), which expert has which by turns; and equal ones. Where equal
 * rates elect the same elements for all experts, disjointness leaves next to none of them.
 */
const ratesOf = (experts: number): ReadonlyArray<Setting[string]> => {
  const examples = [0.1, 0.4, 0.5]
  const turns = examples.map((_, turn) =>
    Array.from({ length: experts }, (_each, i) => at(examples, (i + turn) % examples.length)),
  )
  return [...examples, ...(experts > 1 ? turns : [])]
}

/** Fisher merging, RegMean, LED, and AIM on tuned task arithmetic. */
export const statistical = (bench: Bench, golden: ReadonlyArray<Golden>): ReadonlyArray<Entry> => {
  const { base, experts } = bench
  const own = { base: [], models: experts }
  const all = joined({ sets: golden }, {}, "all")
  const saliencies = [
    ...ofExperts(bench, golden, "saliency"),
    statistics(base, all, "saliency", "saliency base"),
  ]
  const activations = [statistics(base, all, "activation", "activation base")]
  const arithmetic = taskArithmetic(bench).tuned.model
  const over = (row: string, needs: string, candidates: ReturnType<typeof each>, most: number): Entry => ({
    row,
    needs,
    tuned: tuned(bench, row, candidates, overLambda(bench, candidates.length, most)),
  })
  const fisher = { ...own, statistics: ofExperts(bench, golden, "fisher") }
  const gram = { ...own, statistics: ofExperts(bench, golden, "gram") }
  const most = experts.length
  return [
    over(
      "Fisher",
      "a pass forward and back",
      each("fisher", fisher, swept("floor", [1e-6, 1e-8, 1e-10])),
      most,
    ),
    over("RegMean", "a forward pass", each("regmean", gram, swept("alpha", [0.5, 0.9, 1])), most),
    over(
      "LED",
      "two passes forward and back",
      each("led", { base: [base], models: experts, statistics: saliencies }, swept("rate", ratesOf(most))),
      2,
    ),
    over(
      "AIM on task arithmetic",
      "a forward pass",
      each(
        "aim",
        { base: [base], models: [arithmetic], statistics: activations },
        swept("omega", [0.2, 0.4, 0.6]),
      ),
      2,
    ),
  ]
}

/** Task arithmetic with a λ of its own for embeddings and norms: what a second number alone does. */
export const arithmeticWithRest = (bench: Bench): Entry => ({
  row: "task arithmetic, two λ",
  tuned: tuned(bench, "task arithmetic, two λ", [{ name: "", directions: bench.experts }], {
    domains: { lambda: { least: 0.1, greatest: 0.9 }, rest: { least: 0.1, greatest: 0.9 } },
    search: { _tag: "evolution", trials: bench.budget, seed: 0 },
  }),
})
