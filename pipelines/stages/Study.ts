/**
 * An importance study: how far methods agree, and how much golden data the ranks of units need.
 *
 * Everything is Spearman's rank correlation over units, in −1 … 1; none where a method gives all units one value.
 */
import { Artifact, type Figure, Stage } from "@hila/core"
import { at, atOr } from "@hila/core/Lookup"
import { Ranking, Scores, Statistics } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Markdown from "./Markdown.ts"
import * as Plot from "./Plot.ts"

const Correlation = Schema.NullOr(Schema.Finite)
type Correlation = typeof Correlation.Type

const Study = Schema.Struct({
  /** Golden examples of the first draw, and units of the model. */
  examples: Schema.Int,
  units: Schema.Int,
  /** Methods on the same golden data, each with its correlation with all of them in this order. */
  agreement: Schema.Array(Schema.Struct({ method: Schema.String, with: Schema.Array(Correlation) })),
  /** Methods by the number of examples: against the whole first draw, and against as many examples of the second. */
  stability: Schema.Array(
    Schema.Struct({
      method: Schema.String,
      cells: Schema.Array(Schema.Struct({ size: Schema.Int, ofAll: Correlation, twoDraws: Correlation })),
    }),
  ),
  /** Pairs of measurements on prompts that the expert was not trained on, by the number of examples. */
  direct: Schema.Struct({
    sizes: Schema.Array(Schema.Int),
    rows: Schema.Array(Schema.Struct({ name: Schema.String, values: Schema.Array(Correlation) })),
  }),
})
type Study = typeof Study.Type

const show = (value: Correlation) => (value === null ? "–" : value.toFixed(2))

/** What the study says, as titled tables. */
const tables = ({ agreement, direct, examples, stability, units }: Study) => [
  {
    title: `Agreement on ${examples} examples, ${units} units`,
    head: ["Spearman", ...agreement.map(({ method }) => method)],
    rows: agreement.map(({ method, with: others }) => [method, ...others.map(show)]),
  },
  {
    title:
      "Stability (of all: against the whole first draw; two draws: against as many examples of another draw)",
    head: [
      "Spearman",
      ...atOr(stability, 0, { cells: [] }).cells.flatMap(({ size }) => [
        `${size} of all`,
        `${size}, two draws`,
      ]),
    ],
    rows: stability.map(({ cells, method }) => [
      method,
      ...cells.flatMap(({ ofAll, twoDraws }) => [show(ofAll), show(twoDraws)]),
    ]),
  },
  {
    title: "Revert and the path on prompts that the expert was not trained on, by number of examples",
    head: ["Spearman", ...direct.sizes.map(String)],
    rows: direct.rows.map(({ name, values }) => [name, ...values.map(show)]),
  },
]

const stabilityPlot = ({ stability }: Study): string => {
  const lines = stability.map(({ cells, method }) => ({
    name: method,
    points: cells.map(({ size, twoDraws }) => ({ x: size, y: twoDraws ?? 0 })),
  }))
  const [best] = lines.flatMap(({ points }) => points.slice(-1)).toSorted((a, b) => b.y - a.y)
  return Plot.lines({ x: "examples in each draw", y: "Spearman of two draws" }, lines, best ?? { x: 0, y: 0 })
}

const artifact = Artifact.json("importance-study", Study, {
  summary: ({ agreement, examples, units }) =>
    `${agreement.length} methods on ${examples} examples, ${units} units`,
  show: (study) =>
    tables(study)
      .map(({ head, rows, title }) => `${title}:\n\n${Markdown.table(head, rows)}`)
      .join("\n\n"),
  figures: (study): ReadonlyArray<Figure> => [
    ...tables(study).map((each) => ({ _tag: "Table" as const, ...each })),
    { _tag: "Picture", title: "Agreement of two draws", svg: stabilityPlot(study) },
  ],
})

/** Units' mean values over some of the examples; methods without data have one value whatever is asked. */
const means = ({ rows }: Scores.Scores, end: number, start = 0) =>
  rows.map(({ values }) => Statistics.mean(values.slice(start, end)))

const correlation = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): Correlation => {
  const found = Ranking.spearman(a, b)
  return Number.isFinite(found) ? found : null
}

/** Every pair of methods on the same golden data. */
const agreementOf = (scores: ReadonlyArray<Scores.Scores>): Study["agreement"] => {
  const all = scores.map((each) => means(each, Infinity))
  return scores.map(({ method }, i) => ({ method, with: all.map((other) => correlation(at(all, i), other)) }))
}

/** For each method, the first `size` examples of each of two draws against all of the first and against each other. */
const stabilityOf = (
  sizes: ReadonlyArray<number>,
  first: ReadonlyArray<Scores.Scores>,
  second: ReadonlyArray<Scores.Scores>,
): Study["stability"] =>
  second.flatMap((other) => {
    const own = first.find(({ method }) => method === other.method)
    if (own === undefined) return []
    const cells = sizes.map((size) => ({
      size,
      ofAll: correlation(means(own, size), means(own, Infinity)),
      twoDraws: correlation(means(own, size), means(other, size)),
    }))
    return [{ method: own.method, cells }]
  })

/**
 * Revert and symmetric against the path on one golden set, at several sizes; and what each agrees with itself between
 * halves of a set of that size, which bounds what it can agree with anything.
 */
const directOf = (
  sizes: ReadonlyArray<number>,
  [revert, symmetric]: ReadonlyArray<Scores.Scores>,
  path: ReadonlyArray<Scores.Scores>,
  quadratures: ReadonlyArray<number>,
): Study["direct"] => {
  const [fewest] = path
  if (revert === undefined || symmetric === undefined || fewest === undefined) return { sizes, rows: [] }
  const pair = (a: Scores.Scores, b: Scores.Scores) => (size: number) =>
    correlation(means(a, size), means(b, size))
  const halves = (a: Scores.Scores) => (size: number) =>
    correlation(means(a, Math.floor(size / 2)), means(a, size, Math.floor(size / 2)))
  const rows: ReadonlyArray<readonly [name: string, value: (size: number) => Correlation]> = [
    ...path.map((scores, i) => [`revert, path (Q = ${quadratures[i]})`, pair(revert, scores)] as const),
    [`symmetric, path (Q = ${quadratures[0]})`, pair(symmetric, fewest)],
    ["revert, its halves", halves(revert)],
    [`path (Q = ${quadratures[0]}), its halves`, halves(fewest)],
  ]
  return { sizes, rows: rows.map(([name, value]) => ({ name, values: sizes.map((size) => value(size)) })) }
}

/** The study of one expert; see the stage. */
const studyOf = (
  {
    direct,
    first,
    path,
    second,
  }: Readonly<Record<"direct" | "first" | "path" | "second", ReadonlyArray<Scores.Scores>>>,
  {
    quadratures,
    sizes,
  }: { readonly quadratures: ReadonlyArray<number>; readonly sizes: ReadonlyArray<number> },
): Study => {
  const asked = at(direct, 0).examples
  return {
    examples: at(first, 0).examples,
    units: at(first, 0).rows.length,
    agreement: agreementOf(first),
    stability: stabilityOf(sizes, first, second),
    direct: directOf([...sizes.filter((size) => size < asked), asked], direct, path, quadratures),
  }
}

/** The study of one expert: by all methods on one draw, by some on another, by the two main ones on held-out prompts. */
export const study = Stage.make({
  name: "study",
  version: 3,
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
  run: (scores, params) => Effect.succeed(studyOf(scores, params)),
})
