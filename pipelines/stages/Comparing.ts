/**
 * Comparing: what a pipeline calls to get from tuned methods to the table of results, and to what tuning saw of them.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Stages as Evaluation } from "@hila/eval"
import { Stages as Merging } from "@hila/merge"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Entry } from "./Baselines.ts"
import { answers, type Family } from "./Family.ts"
import * as Markdown from "./Markdown.ts"
import { results } from "./Results.ts"
import * as Trials from "./Trials.ts"
import type { Bench, Model } from "./Tuned.ts"

/** What all methods of a family are tuned with. */
export const benchOf = (family: Family, options: { readonly budget: number }): Bench => ({
  base: family.base,
  experts: family.experts,
  golden: family.golden("tune"),
  objective: "retention",
  budget: options.budget,
})

const Tunings = Schema.Array(
  Schema.Struct({
    row: Schema.String,
    /** Mean retention on the tune split. */
    retention: Schema.Finite,
    /** The numbers and choices, for people. */
    tuned: Schema.String,
    trials: Schema.Int,
  }),
)
type Tunings = typeof Tunings.Type

const tuningsHead = ["", "retention on the tune split", "tuned", "trials"]

const tuningsCells = (rows: Tunings): ReadonlyArray<ReadonlyArray<string>> =>
  rows.map(({ retention, row, trials, tuned }) => [row, retention.toFixed(4), tuned, String(trials)])

/** What searches found in the store; `hila run` prints a Markdown table. */
const tuningsArtifact = Artifact.json("tunings", Tunings, {
  summary: (rows) => `${rows.length} rows`,
  show: (rows) => Markdown.table(tuningsHead, tuningsCells(rows)),
  figures: (rows) => [
    { _tag: "Table", title: "What every search found", head: tuningsHead, rows: tuningsCells(rows) },
  ],
})

/** What every search found on the tune split, best first. Nothing of the held-out side is in it. */
export const tunings = Stage.make({
  name: "tunings",
  version: 2,
  inputs: { trials: Stage.each(Trials.artifact) },
  params: { rows: Schema.Array(Schema.String) },
  output: tuningsArtifact,
  run: ({ trials }, { rows }) =>
    Effect.succeed(
      trials
        .map(({ best, trials: tried }, i) => ({
          row: at(rows, i),
          retention: 1 - best.cost,
          tuned: Trials.named(best),
          trials: tried.length,
        }))
        .toSorted((a, b) => b.retention - a.retention),
    ),
})

/** The outputs of a comparison: `tuned` knows the tune split only, `results` opens the held-out side. */
export const compared = (family: Family, entries: ReadonlyArray<Entry>, reference = "task arithmetic") => {
  const { asked, base, domains, experts, neutral } = family
  const report = family.golden("report")
  const models: ReadonlyArray<{
    readonly row: string
    readonly model: Model
    readonly tuned?: number
    readonly needs?: string
  }> = [
    { row: "base", model: base },
    ...domains.map((row, i) => ({ row, model: experts[i] ?? base })),
    { row: "average", model: Merging.linear({ models: experts }, {}, "average") },
    ...entries.map(({ needs = "", row, tuned: { model } }, tuned) => ({ row, model, tuned, needs })),
  ]
  const questions = asked.flatMap((each) => each.questions ?? [])
  const labels = models.map(({ row }, i) =>
    models.findIndex((each) => each.row === row) === i ? row : `${row} ${i}`,
  )
  const trials = entries.map(({ tuned: { tuning } }) => tuning)
  return {
    tuned: tunings({ trials }, { rows: entries.map(({ row }) => row) }),
    results: results(
      {
        losses: models.map(({ model }, i) =>
          Evaluation.goldenLoss({ model, golden: report }, { domains: [...domains] }, labels[i]),
        ),
        accuracies:
          questions.length === 0
            ? []
            : models.map(({ model }, i) => Evaluation.accuracy({ model, questions }, answers, labels[i])),
        fits: models.flatMap(({ model }, i) =>
          asked.flatMap(({ domain, material }) =>
            material === undefined
              ? []
              : Evaluation.heldOut(
                  { model, material },
                  { domain, documents: 60, maxTokens: 400, items: 100 },
                  `${labels[i]} ${domain}`,
                ),
          ),
        ),
        drifts: models.map(({ model }, i) =>
          Evaluation.drift({ base, model, neutral }, { documents: 60, maxTokens: 256 }, labels[i]),
        ),
        trials,
      },
      {
        domains: [...domains],
        models: models.map(({ model: _model, ...shown }) => shown),
        reference,
      },
      "all",
    ),
  }
}
