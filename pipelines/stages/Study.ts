/**
 * Tables of an importance study: how far methods agree, and how much golden data the ranks of units need.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { HeatMap, Ranking, Scores, Statistics } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Plot from "./Plot.ts"

const Study = Schema.Struct({
  /** Markdown. */
  tables: Schema.String,
  /** The heat map of the first method's scores, SVG. */
  heatMap: Schema.String,
  /** Agreement of two draws over their size, method by method, SVG. */
  stability: Schema.String,
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

/** Units' mean values over some of the examples; methods without data have one value whatever is asked. */
const means = ({ rows }: Scores.Scores, end: number, start = 0) =>
  rows.map(({ values }) => Statistics.mean(values.slice(start, end)))

/** Spearman of every pair of methods on the same golden data. */
const agreement = (scores: ReadonlyArray<Scores.Scores>): string =>
  table(
    ["Spearman", ...scores.map(({ method }) => method)],
    scores.map((a) => [
      a.method,
      ...scores.map((b) => show(Ranking.spearman(means(a, Infinity), means(b, Infinity)))),
    ]),
  )

interface Stability {
  readonly method: string
  /** For each size, against the whole first draw, and against as many examples of the second. */
  readonly cells: ReadonlyArray<{ readonly size: number; readonly ofAll: number; readonly twoDraws: number }>
}

/** For each method, the first `size` examples of each of two draws against all of the first and against each other. */
const stabilityOf = (
  sizes: ReadonlyArray<number>,
  first: ReadonlyArray<Scores.Scores>,
  second: ReadonlyArray<Scores.Scores>,
): ReadonlyArray<Stability> =>
  second.flatMap((other) => {
    const own = first.find(({ method }) => method === other.method)
    if (own === undefined) return []
    const cells = sizes.map((size) => ({
      size,
      ofAll: Ranking.spearman(means(own, size), means(own, Infinity)),
      twoDraws: Ranking.spearman(means(own, size), means(other, size)),
    }))
    return [{ method: own.method, cells }]
  })

const stabilityTable = (sizes: ReadonlyArray<number>, found: ReadonlyArray<Stability>): string =>
  table(
    ["Spearman", ...sizes.flatMap((size) => [`${size} of all`, `${size}, two draws`])],
    found.map(({ cells, method }) => [
      method,
      ...cells.flatMap(({ ofAll, twoDraws }) => [show(ofAll), show(twoDraws)]),
    ]),
  )

const stabilityPlot = (found: ReadonlyArray<Stability>): string => {
  const lines = found.map(({ cells, method }) => ({
    name: method,
    points: cells.map(({ size, twoDraws }) => ({ x: size, y: Number.isFinite(twoDraws) ? twoDraws : 0 })),
  }))
  const [best] = lines.flatMap(({ points }) => points.slice(-1)).toSorted((a, b) => b.y - a.y)
  return Plot.lines({ x: "examples in each draw", y: "Spearman of two draws" }, lines, best ?? { x: 0, y: 0 })
}

/**
 * Revert and symmetric against the path on one golden set, at several sizes; and what each agrees with itself between
 * halves of a set of that size, which bounds what it can agree with anything.
 */
const direct = (
  sizes: ReadonlyArray<number>,
  [revert, symmetric]: ReadonlyArray<Scores.Scores>,
  path: ReadonlyArray<Scores.Scores>,
  quadratures: ReadonlyArray<number>,
): string => {
  const [fewest] = path
  if (revert === undefined || symmetric === undefined || fewest === undefined) return ""
  const pair = (a: Scores.Scores, b: Scores.Scores) => (size: number) =>
    Ranking.spearman(means(a, size), means(b, size))
  const halves = (a: Scores.Scores) => (size: number) =>
    Ranking.spearman(means(a, Math.floor(size / 2)), means(a, size, Math.floor(size / 2)))
  const rows: ReadonlyArray<readonly [name: string, value: (size: number) => number]> = [
    ...path.map((scores, i) => [`revert, path (Q = ${quadratures[i]})`, pair(revert, scores)] as const),
    [`symmetric, path (Q = ${quadratures[0]})`, pair(symmetric, fewest)],
    ["revert, its halves", halves(revert)],
    [`path (Q = ${quadratures[0]}), its halves`, halves(fewest)],
  ]
  return table(
    ["Spearman", ...sizes.map(String)],
    rows.map(([name, value]) => [name, ...sizes.map((size) => show(value(size)))]),
  )
}

/** The study of one expert: by all methods on one draw, by some on another, by the two main ones on held-out prompts. */
export const study = Stage.make({
  name: "study",
  version: 2,
  inputs: {
    first: Stage.each(Scores.artifact),
    second: Stage.each(Scores.artifact),
    /** revert and symmetric. */
    direct: Stage.each(Scores.artifact),
    /** pathIntegrated, for each of the quadratures. */
    path: Stage.each(Scores.artifact),
  },
  params: { sizes: Schema.Array(Schema.Int), quadratures: Schema.Array(Schema.Int) },
  output: artifact,
  run: ({ direct: own, first, path, second }, { quadratures, sizes }) => {
    const found = stabilityOf(sizes, first, second)
    const asked = at(own, 0).examples
    const upTo = [...sizes.filter((size) => size < asked), asked]
    return Effect.succeed({
      tables: [
        `Agreement on ${at(first, 0).examples} examples, ${at(first, 0).rows.length} units:`,
        agreement(first),
        "Stability (of all: against the whole first draw; two draws: against as many examples of another draw):",
        stabilityTable(sizes, found),
        `Revert and the path on prompts that the expert was not trained on, by number of examples:`,
        direct(upTo, own, path, quadratures),
      ].join("\n\n"),
      heatMap: first[0] === undefined ? "" : HeatMap.svg(first[0]),
      stability: stabilityPlot(found),
    })
  },
})
