/**
 * Tables of an importance study: how far methods agree, and how much golden data the ranks of units need.
 */
import { Artifact, Stage } from "@hila/core"
import { HeatMap, Ranking, Scores, Statistics } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Study = Schema.Struct({
  /** Markdown. */
  tables: Schema.String,
  /** The heat map of the first method's scores, SVG. */
  heatMap: Schema.String,
})

const artifact = Artifact.json("importance-study", Study, {
  summary: ({ tables }) => `${tables.split("\n").length} lines of tables`,
  show: ({ tables }) => tables,
})

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map((_, i) => (i === 0 ? "---" : "--:")), ...rows]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n")

const show = (value: number) => value.toFixed(2)

/** Units' mean values over the first `size` examples; methods without data have one value whatever the size. */
const first = ({ rows }: Scores.Scores, size: number) =>
  rows.map(({ values }) => Statistics.mean(values.slice(0, size)))

/** Spearman of every pair of methods on the same golden data. */
const agreement = (scores: ReadonlyArray<Scores.Scores>): string =>
  table(
    ["Spearman", ...scores.map(({ method }) => method)],
    scores.map((a) => [
      a.method,
      ...scores.map((b) => show(Ranking.spearman(first(a, Infinity), first(b, Infinity)))),
    ]),
  )

/** For each method, the first `size` examples of each of two sets against all of the first and against each other. */
const stability = (
  sizes: ReadonlyArray<number>,
  scores: ReadonlyArray<Scores.Scores>,
  again: ReadonlyArray<Scores.Scores>,
): string =>
  table(
    ["Spearman", ...sizes.flatMap((size) => [`${size} of all`, `${size}, two seeds`])],
    again.flatMap((second) => {
      const own = scores.find(({ method }) => method === second.method)
      if (own === undefined) return []
      const cells = sizes.flatMap((size) => [
        show(Ranking.spearman(first(own, size), first(own, Infinity))),
        show(Ranking.spearman(first(own, size), first(second, size))),
      ])
      return [[own.method, ...cells]]
    }),
  )

/** The study of one expert: scores by several methods on one golden set, and by some of them on another. */
export const study = Stage.make({
  name: "study",
  version: 1,
  inputs: { scores: Stage.each(Scores.artifact), again: Stage.each(Scores.artifact) },
  params: { sizes: Schema.Array(Schema.Int) },
  output: artifact,
  run: ({ again, scores }, { sizes }) =>
    Effect.succeed({
      tables: [
        `Agreement on ${scores[0]?.examples ?? 0} examples:`,
        agreement(scores),
        "Stability (of all: against the whole first set; two seeds: against as many examples of another draw):",
        stability(sizes, scores, again),
      ].join("\n\n"),
      heatMap: scores[0] === undefined ? "" : HeatMap.svg(scores[0]),
    }),
})
