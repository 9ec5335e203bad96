/**
 * Comparison: what several models can do, in one table.
 *
 * Rows are models; columns are the accuracy of each domain, their mean and worst, and the mean retention of the
 * experts' golden losses. Nothing is ranked and nothing is tested for significance here.
 */
import { Statistics } from "@hila/model"
import { Artifact, type Figure } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Accuracy } from "./Accuracy.ts"
import { EvalError } from "./EvalError.ts"
import { type GoldenLoss, retention } from "./GoldenLoss.ts"
import * as Table from "./Table.ts"

const PerDomain = <S extends Schema.Constraint>(value: S) => Schema.Record(Schema.String, value)

/** One model of a comparison. */
export const Row = Schema.Struct({
  name: Schema.String,
  /** Accuracy per domain, 0…1. */
  accuracy: PerDomain(Schema.Finite),
  /** Mean accuracy over the domains. */
  mean: Schema.Finite,
  /** Lowest accuracy of a domain. */
  worst: Schema.Finite,
  /** Mean golden loss per domain, nats per token. */
  loss: PerDomain(Schema.Finite),
  /** Retention per domain; null where the domain's expert gains nothing over the base. */
  retentions: PerDomain(Schema.NullOr(Schema.Finite)),
  /** Mean of the retentions there are. */
  retention: Schema.NullOr(Schema.Finite),
})
export type Row = typeof Row.Type

/** Models side by side. */
export const Comparison = Schema.Struct({
  /** The model that retention starts from. */
  base: Schema.String,
  /** Domains with the number of questions behind each accuracy. */
  questions: Schema.Array(Schema.Struct({ domain: Schema.String, n: Schema.Int })),
  /** Domains with the number of examples behind each golden loss, and the expert who gave them. */
  golden: Schema.Array(Schema.Struct({ domain: Schema.String, n: Schema.Int, expert: Schema.String })),
  rows: Schema.Array(Row),
})
export type Comparison = typeof Comparison.Type

/** One model's measurements. */
export interface Entry {
  readonly name: string
  readonly accuracy: Accuracy
  readonly loss: GoldenLoss
}

const complain = (problem: string) => new EvalError({ subject: "comparison", problem })

const list = (names: Iterable<string>): string => [...names].join(", ")

const sizes = (domains: ReadonlyArray<{ readonly domain: string; readonly n: number }>): string =>
  list(domains.map(({ domain, n }) => `${domain} (${n})`))

/** Entries have to be of the same domains and sizes, or a column would compare unlike with unlike. */
const requireSame = Effect.fnUntraced(function* (
  what: string,
  entries: ReadonlyArray<readonly [string, ReadonlyArray<{ readonly domain: string; readonly n: number }>]>,
) {
  const [first, ...others] = entries
  for (const [name, domains] of others) {
    if (first === undefined || sizes(domains) === sizes(first[1])) continue
    return yield* complain(
      `${what} of ${name} is over ${sizes(domains)}, that of ${first[0]} over ${sizes(first[1])}; measure both on the same`,
    )
  }
})

/**
 * Puts models side by side. Retention is measured from the model named `base` towards each domain's expert; experts
 * are named by `experts` (domain → name of a model), a domain that is not named there by the model of its own name.
 */
export const make = Effect.fn("Comparison.make")(function* (
  entries: ReadonlyArray<Entry>,
  options: { readonly base: string; readonly experts?: Readonly<Record<string, string>> },
) {
  const byName = new Map(entries.map((entry) => [entry.name, entry]))
  if (byName.size !== entries.length) {
    return yield* complain(`models need different names, got ${list(entries.map((entry) => entry.name))}`)
  }
  yield* requireSame(
    "accuracy",
    entries.map(({ accuracy, name }) => [name, accuracy.domains]),
  )
  yield* requireSame(
    "golden loss",
    entries.map(({ loss, name }) => [name, loss.domains]),
  )
  const find = (name: string, role: string) => {
    const entry = byName.get(name)
    return entry === undefined
      ? Effect.fail(complain(`${role} ${name} is not among the models ${list(byName.keys())}`))
      : Effect.succeed(entry)
  }
  const base = yield* find(options.base, "base")
  const golden = yield* Effect.forEach(
    base.loss.domains,
    Effect.fnUntraced(function* ({ domain, mean, n }, index) {
      const expert = yield* find(options.experts?.[domain] ?? domain, `the expert of ${domain},`)
      return { domain, n, expert: expert.name, base: mean, best: expert.loss.domains[index]?.mean ?? mean }
    }),
  )
  const rows = entries.map(({ accuracy, loss, name }): Row => {
    const shares = accuracy.domains.map((domain) => domain.accuracy)
    const retentions = golden.map(({ base, best, domain }, index): [string, number | null] => [
      domain,
      retention({ base, expert: best, model: loss.domains[index]?.mean ?? base }),
    ])
    const known = retentions.flatMap(([, value]) => (value === null ? [] : [value]))
    return {
      name,
      accuracy: Object.fromEntries(accuracy.domains.map((domain) => [domain.domain, domain.accuracy])),
      mean: Statistics.mean(shares),
      worst: Math.min(...shares),
      loss: Object.fromEntries(loss.domains.map((domain) => [domain.domain, domain.mean])),
      retentions: Object.fromEntries(retentions),
      retention: known.length === 0 ? null : Statistics.mean(known),
    }
  })
  return {
    base: base.name,
    questions: base.accuracy.domains.map(({ domain, n }) => ({ domain, n })),
    golden: golden.map(({ domain, expert, n }) => ({ domain, n, expert })),
    rows,
  } satisfies Comparison
})

const percent = (share: number | undefined): string =>
  share === undefined ? "–" : `${(share * 100).toFixed(1)} %`

const titles = (questions: Comparison["questions"]) => [
  "",
  ...questions.map(({ domain }) => domain),
  "mean",
  "worst",
  "retention",
]

/** A model in a line, in the order of the titles. */
const line = (questions: Comparison["questions"], row: Row) => [
  row.name,
  ...questions.map(({ domain }) => percent(row.accuracy[domain])),
  percent(row.mean),
  percent(row.worst),
  row.retention === null ? "–" : row.retention.toFixed(3),
]

/** The comparison as a table for the terminal, with the number of questions and examples under each title. */
export const show = ({ golden, questions, rows }: Comparison): string =>
  Table.render(
    [
      titles(questions),
      ["", ...questions.map(({ n }) => `n = ${n}`), "", "", `n = ${golden.map(({ n }) => n).join(" + ")}`],
    ],
    rows.map((row) => line(questions, row)),
  )

const figures = ({ base, golden, questions, rows }: Comparison): ReadonlyArray<Figure> => [
  {
    _tag: "Table",
    title: "Accuracy of each domain, and retention of the experts' golden losses",
    head: titles(questions),
    rows: rows.map((row) => line(questions, row)),
    note: `Questions: ${sizes(questions)}; golden answers: ${sizes(golden)}. Retention is 0 at ${base} and 1 at each domain's own expert.`,
  },
]

/** One line: the model with the best mean accuracy. */
export const summary = ({ rows }: Comparison): string => {
  const best = rows.toSorted((a, b) => b.mean - a.mean)[0]
  return best === undefined
    ? "no models"
    : `${rows.length} models, best mean ${best.name} ${percent(best.mean)}`
}

/** Comparisons in the store; `hila run` prints the table. */
export const artifact: Artifact.Artifact<Comparison> = Artifact.json("comparison", Comparison, {
  summary,
  show,
  figures,
  metrics: ({ rows }) => Object.fromEntries(rows.map(({ mean, name }) => [`${name} mean`, mean])),
})
