/**
 * Trials of a search: what was tried, what it cost, which was best. Shown as a table, and as a plot of cost by λ.
 *
 * How long trials took is no part of them: two searches that find the same are the same. The log of a run has the time.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"
import * as Plot from "./Plot.ts"

const Setting = Schema.Record(Schema.String, Schema.Finite)

/** One setting and what it came to. */
export const Trial = Schema.Struct({
  variant: Schema.String,
  setting: Setting,
  /** Mean loss on each set: of golden sets in nats per token, of labelled rows in nats per row. */
  losses: Schema.Array(Schema.Finite),
  /** What the search minimises. */
  cost: Schema.Finite,
})
export type Trial = typeof Trial.Type

const Trials = Schema.Struct({
  objective: Schema.String,
  best: Trial,
  /** In the order they were tried. */
  trials: Schema.Array(Trial),
})
type Trials = typeof Trials.Type

/** Four decimals, or two digits of what is smaller than that. */
const short = (value: number): string =>
  String(value !== 0 && Math.abs(value) < 0.01 ? Number(value.toPrecision(2)) : Number(value.toFixed(4)))

const numbers = (setting: Trial["setting"]): string =>
  Object.entries(setting)
    .map(([name, value]) => `${name === mainNumber ? "λ" : name} = ${short(value)}`)
    .join(", ")

/** A setting for people: `density 0.5, λ = 0.4`. */
export const named = ({ setting, variant }: Pick<Trial, "setting" | "variant">): string =>
  [variant, numbers(setting)].filter((part) => part !== "").join(", ")

/** The number that trials are drawn over, where a search has one of all the others. */
const mainNumber = "lambda"

/** One line: `λ = 0.4 of 40 trials, retention cost 0.2630`. */
export const summary = ({ best, objective, trials }: Trials): string =>
  `${named(best)} of ${trials.length} trials, ${objective} cost ${best.cost.toFixed(4)}`

/** Whether two trials are one: read from the store, they are no longer one object. */
const isSame = (a: Trial, b: Trial): boolean => JSON.stringify(a) === JSON.stringify(b)

const show = (value: Trials): string =>
  [
    summary(value),
    `    ${"setting".padEnd(44)} ${"cost".padEnd(6)}  loss of each golden set`,
    ...value.trials.map(
      (trial) =>
        `  ${isSame(trial, value.best) ? "→" : " "} ${named(trial).padEnd(44)} ${trial.cost.toFixed(4)}  ${trial.losses.map((loss) => loss.toFixed(4)).join(" ")}`,
    ),
  ].join("\n")

/** Trials in the store. */
export const artifact: Artifact.Artifact<Trials> = Artifact.json("trials", Trials, {
  summary,
  show,
  metrics: ({ best }) => ({ cost: best.cost, ...best.setting }),
  figures: (value) => [
    {
      _tag: "Picture",
      title: summary(value),
      svg: plot(value),
      note: "The ring is the setting that was chosen.",
    },
    {
      _tag: "Table",
      title: "All trials",
      head: ["setting", "cost", "loss on each set that is judged by, nats"],
      rows: value.trials.map((trial) => [
        named(trial),
        trial.cost.toFixed(4),
        trial.losses.map((loss) => loss.toFixed(4)).join("  "),
      ]),
    },
  ],
})

/** All trials with the best of them, the first among equals. */
export const of = (objective: string, trials: ReadonlyArray<Trial>): Trials => {
  const [first, ...others] = trials
  const none = { variant: "", setting: {}, losses: [], cost: 0 }
  const best = others.reduce((low, trial) => (trial.cost < low.cost ? trial : low), first ?? none)
  return { objective, best, trials }
}

/** Cost by λ, a line per variant; without a λ, in the order in which trials were made. SVG. */
const plot = ({ best, objective, trials }: Trials): string =>
  Plot.lines(
    { x: mainNumber in best.setting ? "λ" : "trial", y: `cost (${objective})` },
    [...Map.groupBy(trials, ({ variant }) => variant)].map(([name, own]) => ({
      name,
      points: own.map(({ cost, setting }, i) => ({ x: setting[mainNumber] ?? i, y: cost })),
    })),
    { x: best.setting[mainNumber] ?? trials.findIndex((trial) => isSame(trial, best)), y: best.cost },
  )

const Choice = Schema.Struct({
  variant: Schema.String,
  directions: Schema.Array(Schema.Int),
  table: Schema.optionalKey(Schema.Int),
  setting: Setting,
})

/** What a search chose. */
export const choiceArtifact: Artifact.Artifact<typeof Choice.Type> = Artifact.json("choice", Choice, {
  summary: named,
})
