/**
 * Results: what merges are worth, on golden data and items that nothing was chosen on, side by side with intervals.
 *
 * Retention is (loss of the base − loss of the merge) / (loss of the base − loss of the specialist) on a specialist's
 * own held-out answers: 1 is the specialist, 0 the base. Intervals are paired: the difference to one method, on the same
 * draws of items. Several seeds of one method are one row, their figures averaged item by item.
 */
import { Artifact, type Figure, Stage } from "@hila/core"
import { at, known } from "@hila/core/Lookup"
import { Accuracy, Drift, GoldenLoss, HeldOut, Paired } from "@hila/eval"
import { Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Markdown from "./Markdown.ts"
import * as Plot from "./Plot.ts"
import * as Trials from "./Trials.ts"

const Interval = Schema.Struct({ difference: Schema.Finite, low: Schema.Finite, high: Schema.Finite })
const Maybe = Schema.NullOr(Schema.Finite)

const Row = Schema.Struct({
  name: Schema.String,
  /** How many models stand behind the row: seeds of what is random. */
  seeds: Schema.Int,
  retentions: Schema.Array(Schema.Finite),
  retention: Schema.Finite,
  worst: Schema.Finite,
  /** Mean retention against the reference. */
  against: Schema.NullOr(Interval),
  /** Standard deviation of the mean retention over seeds. */
  spread: Maybe,
  /** Mean over domains of the share of right answers, of questions or choices; 0 … 1. */
  accuracy: Maybe,
  accuracyAgainst: Schema.NullOr(Interval),
  /** Mean over domains of bits per byte on held-out documents. */
  bits: Maybe,
  bitsAgainst: Schema.NullOr(Interval),
  /** Mean and worst retention in bits per byte, where specialists compress their held-out documents better. */
  bitsRetention: Maybe,
  bitsWorst: Maybe,
  /** Mean token KL(base ‖ model) on neutral text, nats. */
  drift: Maybe,
  tuned: Schema.String,
  /** Trials of its tuning, of all seeds. */
  trials: Schema.Int,
  /** What it needs of golden data before tuning, for people. */
  needs: Schema.String,
})
type Row = typeof Row.Type

const Results = Schema.Struct({
  domains: Schema.Array(Schema.String),
  reference: Schema.String,
  rows: Schema.Array(Row),
})
type Results = typeof Results.Type

const signed = (value: number, digits: number): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`
const fixed = (value: number | null, digits: number): string => (value === null ? "–" : value.toFixed(digits))
const interval = (value: typeof Interval.Type | null, digits: number): string =>
  value === null
    ? ""
    : `${signed(value.difference, digits)} [${signed(value.low, digits)}, ${signed(value.high, digits)}]`

/** Titles and rows of the table, without the columns that nobody has. */
const cells = ({ domains, reference, rows }: Results): ReadonlyArray<ReadonlyArray<string>> => {
  const head = [
    "",
    "retention",
    `against ${reference}`,
    "worst",
    ...domains,
    "accuracy",
    `against ${reference}`,
    "bits per byte",
    `against ${reference}`,
    "retention in bits",
    "worst in bits",
    "drift",
    "tuned",
    "trials",
    "needs",
  ]
  const lines = rows.map((row) => [
    row.seeds > 1 ? `${row.name} (${row.seeds} seeds)` : row.name,
    row.spread === null ? row.retention.toFixed(3) : `${row.retention.toFixed(3)} ± ${row.spread.toFixed(3)}`,
    interval(row.against, 3),
    row.worst.toFixed(3),
    ...row.retentions.map((value) => value.toFixed(3)),
    fixed(row.accuracy, 3),
    interval(row.accuracyAgainst, 3),
    fixed(row.bits, 4),
    interval(row.bitsAgainst, 4),
    fixed(row.bitsRetention, 3),
    fixed(row.bitsWorst, 3),
    fixed(row.drift, 4),
    row.tuned,
    row.trials === 0 ? "–" : String(row.trials),
    row.needs,
  ])
  const kept = head.map((_, i) => i === 0 || lines.some((line) => !["", "–"].includes(at(line, i))))
  return [head, ...lines].map((line) => line.filter((_, i) => kept[i]))
}

/** The results as a Markdown table. */
export const markdown = (results: Results): string => {
  const [head = [], ...lines] = cells(results)
  return Markdown.table(head, lines)
}

const figures = (results: Results): ReadonlyArray<Figure> => {
  const [head = [], ...rows] = cells(results)
  return [
    {
      _tag: "Table",
      title: "Every method on golden data and items that nothing was chosen on",
      head,
      rows,
      note: `Retention of a specialist's golden loss: 0 is the base, 1 the specialist. In brackets 95 % intervals of the difference to ${results.reference}, by paired bootstrap over items.`,
    },
    {
      _tag: "Picture",
      title: "Retention in each domain",
      svg: Plot.dots(
        "retention",
        results.domains,
        results.rows.map(({ name, retentions }) => ({ name, values: retentions })),
      ),
      note: "A dot for each domain, a bar at their mean.",
    },
  ]
}

/** Results in the store; `hila run` prints the table. */
export const artifact: Artifact.Artifact<Results> = Artifact.json("results", Results, {
  summary: ({ rows }) => {
    const best = rows.toSorted((a, b) => b.retention - a.retention)[0]
    return best === undefined
      ? "no models"
      : `${rows.length} rows, best ${best.name} ${best.retention.toFixed(3)}`
  },
  show: markdown,
  figures,
  metrics: ({ rows }) =>
    Object.fromEntries(rows.map(({ name, retention }) => [`${name} retention`, retention])),
})

/** Figures per domain and item: [domains][items]. */
type Items = ReadonlyArray<ReadonlyArray<number>>

const average = (all: ReadonlyArray<Items>): Items =>
  at(all, 0).map((domain, d) => domain.map((_, i) => Statistics.mean(all.map((one) => at(at(one, d), i)))))

const meanOf = (items: Items): number => Statistics.mean(items.map((own) => Statistics.mean(own)))

const differences = (own: Items | undefined, reference: Items | undefined): typeof Interval.Type | null => {
  if (own === undefined || reference === undefined || own === reference) return null
  const sets = own.map((first, d) => ({ first, second: at(reference, d) }))
  const { difference, high, low } = Paired.bootstrapMeans(sets)
  return { difference, low, high }
}

const picked = (values: ReadonlyArray<number>, draw: ReadonlyArray<number>): number =>
  Statistics.mean(draw.map((i) => at(values, i)))

/** Retention of each domain on a draw of its examples. */
const retentionsOn = (
  losses: Items,
  base: Items,
  experts: Items,
  draw: ReadonlyArray<ReadonlyArray<number>>,
): ReadonlyArray<number> =>
  draw.map((indices, d) => {
    const of = (items: Items) => picked(at(items, d), indices)
    const from = of(base)
    return (from - of(losses)) / (from - of(experts))
  })

const lossesOf = ({ domains }: GoldenLoss.GoldenLoss): Items => domains.map(({ losses }) => losses)

/** Right answers of questions, domain by domain. */
const ofAccuracy = (accuracy: Accuracy.Accuracy, domains: ReadonlyArray<string>): Items =>
  domains.map((domain) =>
    accuracy.items.filter((item) => item.domain === domain).map(({ correct }) => (correct ? 1 : 0)),
  )

const ofFits = (fits: ReadonlyArray<HeldOut.Fit>): Items =>
  fits.map(({ continuation, label }) =>
    [...label, ...continuation].map(({ rightPerCharacter }) => rightPerCharacter),
  )

const bitsOf = (fits: ReadonlyArray<HeldOut.Fit>): Items =>
  fits.map(({ documents }) => documents.map(({ bitsPerByte }) => bitsPerByte))

/** Retention in bits per byte, mean and worst, between the first model, the base, and the specialists behind it. */
const bitRetentions = (measured: ReadonlyArray<{ readonly bits: Items | undefined }>, domains: number) => {
  const base = at(measured, 0).bits
  return (bits: Items | undefined): Pick<Row, "bitsRetention" | "bitsWorst"> => {
    if (bits === undefined || base === undefined) return { bitsRetention: null, bitsWorst: null }
    const everything = base.map((own) => own.map((_, i) => i))
    const experts = Array.from({ length: domains }, (_, d) => at(known(at(measured, d + 1).bits), d))
    const retentions = retentionsOn(bits, base, experts, everything)
    return { bitsRetention: Statistics.mean(retentions), bitsWorst: Math.min(...retentions) }
  }
}

/**
 * The results of models by row. `losses` and `drifts` have one entry per model; `accuracies` one per model or none,
 * `fits` one per model and domain or none; `choices` and `trials` one per tuned model, at the index that `tuned` gives.
 * Models of one row name are seeds of one method. The first models are the base and the specialists.
 */
export const results = Stage.make({
  name: "results",
  version: 3,
  inputs: {
    losses: Stage.each(GoldenLoss.artifact),
    accuracies: Stage.each(Accuracy.artifact),
    fits: Stage.each(HeldOut.fitArtifact),
    drifts: Stage.each(Drift.artifact),
    trials: Stage.each(Trials.artifact),
  },
  params: {
    domains: Schema.Array(Schema.String),
    models: Schema.Array(
      Schema.Struct({
        row: Schema.String,
        tuned: Schema.optionalKey(Schema.Int),
        needs: Schema.optionalKey(Schema.String),
      }),
    ),
    reference: Schema.String,
  },
  output: artifact,
  run: ({ accuracies, drifts, fits, losses, trials }, { domains, models, reference }) => {
    const measured = models.map(({ needs = "", row, tuned }, i) => {
      const own = fits.slice(i * domains.length, (i + 1) * domains.length)
      const accuracy = accuracies[i]
      return {
        row,
        needs,
        losses: losses[i] === undefined ? [] : lossesOf(losses[i]),
        right:
          accuracy !== undefined ? ofAccuracy(accuracy, domains) : own.length > 0 ? ofFits(own) : undefined,
        bits: own.length > 0 ? bitsOf(own) : undefined,
        drift: drifts[i]?.mean,
        trials: tuned === undefined ? undefined : trials[tuned],
      }
    })
    const base = at(measured, 0).losses
    const experts = domains.map((_, d) => at(at(measured, d + 1).losses, d))
    const rows = [...Map.groupBy(measured, ({ row }) => row)].map(([name, seeds]) => {
      const defined = (pick: (one: (typeof measured)[number]) => Items | undefined) => {
        const all = seeds.flatMap((one) => (pick(one) === undefined ? [] : [pick(one) ?? []]))
        return all.length === 0 ? undefined : average(all)
      }
      return {
        name,
        seeds,
        losses: average(seeds.map((one) => one.losses)),
        right: defined(({ right }) => right),
        bits: defined(({ bits }) => bits),
      }
    })
    const other = rows.find(({ name }) => name === reference)
    const ofBits = bitRetentions(measured, domains.length)
    const everything = base.map((own) => own.map((_, i) => i))
    return Effect.succeed({
      domains,
      reference,
      rows: rows.map(({ bits, losses: own, name, right, seeds }): Row => {
        const retentions = retentionsOn(own, base, experts, everything)
        const means = seeds.map((one) => Statistics.mean(retentionsOn(one.losses, base, experts, everything)))
        const against =
          other === undefined || other.name === name
            ? null
            : Paired.resample(
                base.map(({ length }) => length),
                (draw) =>
                  Statistics.mean(retentionsOn(own, base, experts, draw)) -
                  Statistics.mean(retentionsOn(other.losses, base, experts, draw)),
              )
        return {
          name,
          seeds: seeds.length,
          retentions,
          retention: Statistics.mean(retentions),
          worst: Math.min(...retentions),
          against:
            against === null
              ? null
              : { difference: against.difference, low: against.low, high: against.high },
          spread: means.length < 2 ? null : Statistics.standardError(means) * Math.sqrt(means.length),
          accuracy: right === undefined ? null : meanOf(right),
          accuracyAgainst: name === reference ? null : differences(right, other?.right),
          bits: bits === undefined ? null : meanOf(bits),
          bitsAgainst: name === reference ? null : differences(bits, other?.bits),
          ...ofBits(bits),
          trials: seeds.reduce((sum, { trials: own }) => sum + (own?.trials.length ?? 0), 0),
          needs: at(seeds, 0).needs,
          drift:
            at(seeds, 0).drift === undefined ? null : Statistics.mean(seeds.map(({ drift }) => known(drift))),
          tuned: [
            ...new Set(
              seeds.flatMap(({ trials: own }) => (own === undefined ? [] : [Trials.named(own.best)])),
            ),
          ].join("; "),
        }
      }),
    })
  },
})
