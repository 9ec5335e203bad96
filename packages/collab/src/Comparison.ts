/**
 * All ways of answering side by side, over seeds: quality with intervals, tests against the best single expert, cost.
 *
 * The best single expert is chosen on validation rows, seed by seed. Tests pair the answers to each text: McNemar's
 * exact test within each seed, adjusted by Holm over all strategies, of which the median over seeds is shown, and a
 * bootstrap over texts of the mean over seeds.
 */
import { Artifact, type Figure } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Paired, PairedProportions, Table } from "@hila/eval"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CollabError } from "./CollabError.ts"
import * as Evaluation from "./Evaluation.ts"
import * as Metrics from "./Metrics.ts"
import * as Plot from "./Plot.ts"
import * as Random from "./Random.ts"

const Interval = Schema.Struct({ value: Schema.Finite, low: Schema.Finite, high: Schema.Finite })
type Interval = typeof Interval.Type

export const Row = Schema.Struct({
  name: Schema.String,
  kind: Schema.Literals(Evaluation.kinds),
  /** Means over seeds with 95 % bootstrap intervals over texts. */
  accuracy: Interval,
  macroF1: Interval,
  /** Standard deviation of the accuracy between seeds. */
  deviation: Schema.Finite,
  nll: Schema.optionalKey(Schema.Finite),
  ece: Schema.optionalKey(Schema.Finite),
  /** Accuracy minus that of the best single expert. */
  gain: Interval,
  /** Median over seeds of McNemar's p, adjusted by Holm over the rows that are tested; absent for oracle and experts. */
  pValue: Schema.optionalKey(Schema.Finite),
  /** Seeds in which the adjusted p is below 0.05. */
  significant: Schema.optionalKey(Schema.Int),
  stored: Schema.Finite,
  active: Schema.Finite,
  flops: Schema.Finite,
  bytes: Schema.Finite,
  validationMacroF1: Schema.Finite,
})
export type Row = typeof Row.Type

export const Comparison = Schema.Struct({
  seeds: Schema.Array(Schema.Int),
  texts: Schema.Int,
  classes: Schema.Int,
  /** The best single expert of each seed. */
  best: Schema.Array(Schema.String),
  rows: Schema.Array(Row),
})
export type Comparison = typeof Comparison.Type

const mean = (values: ReadonlyArray<number>): number =>
  values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length

/** What the paired bootstrap compares. */
const meanOfValues: Parameters<typeof Paired.bootstrap>[0] = {
  standardError: "closed",
  aggregate: (values) => mean(values.map((value) => (typeof value === "number" ? value : 0))),
}

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return (
    (at(sorted, Math.floor((sorted.length - 1) / 2)) + at(sorted, Math.ceil((sorted.length - 1) / 2))) / 2
  )
}

/** Percentiles of a statistic of drawn texts. */
const interval = (
  count: number,
  statistic: (drawn: Int32Array) => number,
  replicates = 1000,
): Pick<Interval, "low" | "high"> => {
  const random = Random.make(0)
  const values = Float64Array.from({ length: replicates }, () =>
    statistic(Int32Array.from({ length: count }, () => Math.floor(random.next() * count))),
  ).toSorted()
  const quantile = (share: number) => at(values, Math.round(share * (replicates - 1)))
  return { low: quantile(0.025), high: quantile(0.975) }
}

/** p-values of each seed, adjusted over the rows that are tested: [seed][row]. */
const tests = (
  seeds: ReadonlyArray<Evaluation.Evaluation>,
  correct: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>,
  best: ReadonlyArray<ReadonlyArray<number>>,
  tested: ReadonlyArray<number>,
) =>
  seeds.map((_, s) =>
    Paired.holm(
      tested.map((row) => {
        const [own, other] = [at(at(correct, s), row), at(best, s)]
        const count = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
          a.reduce((n, value, i) => n + (value === 1 && b[i] === 0 ? 1 : 0), 0)
        return PairedProportions.mcNemar(count(own, other), count(other, own))
      }),
    ),
  )

/** Compares evaluations of one set with the same ways of answering, one per seed. */
export const make = Effect.fnUntraced(function* (
  seeds: ReadonlyArray<Evaluation.Evaluation>,
): Effect.fn.Return<Comparison, CollabError> {
  const [first] = seeds
  if (first === undefined) {
    return yield* new CollabError({ subject: "comparison", problem: "expected at least one evaluation" })
  }
  const names = first.entries.map(({ name }) => name)
  const unlike = seeds.find(
    ({ entries, labels }) =>
      labels.join() !== first.labels.join() || entries.map(({ name }) => name).join() !== names.join(),
  )
  if (unlike !== undefined) {
    return yield* new CollabError({
      subject: "comparison",
      problem: `seed ${unlike.seed} has other texts or other ways of answering than seed ${first.seed}`,
    })
  }
  const { classes, labels } = first
  const correct = seeds.map(({ entries }) =>
    entries.map(({ predicted }) => Metrics.correct(predicted, labels)),
  )
  const bestRows = seeds.map(({ entries }) =>
    entries.reduce(
      (best, { kind, validationMacroF1 }, row) =>
        kind === "expert" && (best < 0 || validationMacroF1 > at(entries, best).validationMacroF1)
          ? row
          : best,
      -1,
    ),
  )
  const best = bestRows.map((row, s) => at(at(correct, s), row))
  const tested = first.entries.flatMap(({ kind }, row) =>
    kind === "expert" || kind === "oracle" ? [] : [row],
  )
  const pValues = tests(seeds, correct, best, tested)
  const perText = (values: ReadonlyArray<ReadonlyArray<number>>) =>
    labels.map((_, i) => mean(values.map((of) => at(of, i))))
  const reference = perText(best)
  const rows = first.entries.map(({ kind, name }, row): Row => {
    const own = seeds.map(({ entries }) => at(entries, row))
    const hits = perText(correct.map((of) => at(of, row)))
    const accuracies = correct.map((of) => mean(at(of, row)))
    const accuracy = mean(accuracies)
    const f1 = (drawn?: Int32Array) =>
      mean(
        own.map(({ predicted }) =>
          drawn === undefined
            ? Metrics.macroF1(predicted, labels, classes.length)
            : Metrics.macroF1(
                drawn.map((i) => at(predicted, i)),
                drawn.map((i) => at(labels, i)),
                classes.length,
              ),
        ),
      )
    const gain = Paired.bootstrap(meanOfValues, hits, reference, { replicates: 1000 })
    const place = tested.indexOf(row)
    const adjusted = pValues.map((of) => (place < 0 ? 1 : at(of, place)))
    const average = (of: (entry: Evaluation.Entry) => number) => mean(own.map(of))
    const optional = (of: (entry: Evaluation.Entry) => number | undefined) =>
      own.every((entry) => of(entry) !== undefined) ? average((entry) => of(entry) ?? 0) : undefined
    const [nll, ece] = [optional((entry) => entry.nll), optional((entry) => entry.ece)]
    return {
      name,
      kind,
      accuracy: {
        value: accuracy,
        ...interval(labels.length, (drawn) => drawn.reduce((sum, i) => sum + at(hits, i), 0) / drawn.length),
      },
      macroF1: { value: f1(), ...interval(labels.length, f1, 300) },
      deviation: Math.sqrt(
        accuracies.length < 2
          ? 0
          : mean(accuracies.map((value) => (value - accuracy) ** 2)) *
              (accuracies.length / (accuracies.length - 1)),
      ),
      ...(nll === undefined ? {} : { nll }),
      ...(ece === undefined ? {} : { ece }),
      gain: { value: gain.difference, low: gain.low, high: gain.high },
      ...(place < 0
        ? {}
        : { pValue: median(adjusted), significant: adjusted.filter((p) => p < 0.05).length }),
      stored: average((entry) => entry.stored),
      active: average((entry) => entry.active),
      flops: average((entry) => entry.flops),
      bytes: average((entry) => entry.bytes),
      validationMacroF1: average((entry) => entry.validationMacroF1),
    }
  })
  return {
    seeds: seeds.map(({ seed }) => seed),
    texts: labels.length,
    classes: classes.length,
    best: bestRows.map((row) => at(names, row)),
    rows,
  }
})

const share = (value: number): string => (100 * value).toFixed(1)
const range = ({ high, low, value }: Interval): string => `${share(value)} [${share(low)}, ${share(high)}]`
const short = (value: number): string =>
  value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : `${(value / 1e3).toFixed(0)} k`

/** Titles, rows and notes of the table. */
const tableOf = ({ best, classes, rows, seeds, texts }: Comparison) => {
  const head = [
    "",
    "accuracy, %",
    "macro-F1, %",
    "NLL",
    "ECE",
    "gain, points",
    "p",
    "p < 0.05",
    "stored",
    "active",
    "MFLOPs",
    "MB",
  ]
  const body = rows.map((row) => [
    row.name,
    range(row.accuracy),
    range(row.macroF1),
    row.nll?.toFixed(3) ?? "",
    row.ece?.toFixed(3) ?? "",
    row.kind === "expert" ? "" : range(row.gain),
    row.pValue === undefined ? "" : row.pValue < 0.0001 ? "< 0.0001" : row.pValue.toFixed(4),
    row.significant === undefined ? "" : `${row.significant} of ${seeds.length}`,
    short(row.stored),
    short(row.active),
    (row.flops / 1e6).toFixed(2),
    (row.bytes / 1e6).toFixed(2),
  ])
  const notes = [
    `${texts} test texts, ${classes} classes, seeds ${seeds.join(", ")}; means over seeds, 95 % bootstrap intervals over texts`,
    `gain: over the best single expert by validation (${[...new Set(best)].join("; ")}); p: McNemar, adjusted by Holm, median over seeds`,
  ]
  return { head, rows: body, notes }
}

/** The table as text. */
export const show = (comparison: Comparison): string => {
  const { head, notes, rows } = tableOf(comparison)
  return [Table.render([head], rows), ...notes].join("\n")
}

const figures = (comparison: Comparison): ReadonlyArray<Figure> => {
  const { head, notes, rows } = tableOf(comparison)
  return [
    { _tag: "Table", title: "All ways of answering", head, rows, note: `${notes.join(". ")}.` },
    {
      _tag: "Picture",
      title: "Accuracy against operations per text",
      svg: Plot.svg(comparison.rows),
      note: "Whiskers are the intervals of the accuracy.",
    },
  ]
}

export const artifact: Artifact.Artifact<Comparison> = Artifact.json("collab-comparison", Comparison, {
  summary: ({ rows, seeds }) => `${rows.length} ways of answering, ${seeds.length} seeds`,
  show,
  figures,
  metrics: ({ rows }) =>
    Object.fromEntries(rows.map(({ accuracy, name }) => [`${name} accuracy`, accuracy.value])),
})
