/**
 * Two runs compared document by document: differences with their intervals, tests, and what could have been found.
 *
 * Each row has its test and its interval from one model of the data, so that they never contradict each other: exact for
 * scores of 0 and 1 (`PairedProportions`), a studentised bootstrap for other means (`PairedMeans`), percentiles for what
 * is no mean over documents (`Paired`). p-values are adjusted by Holm's method over the tasks that share a metric and a
 * filter.
 */
import { at, entry, entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { ResultsError } from "../EvalError.ts"
import type { Value } from "../metrics/Aggregation.ts"
import * as Metric from "../metrics/Metric.ts"
import * as Files from "./Files.ts"
import * as Paired from "./Paired.ts"
import * as PairedMeans from "./PairedMeans.ts"
import * as PairedProportions from "./PairedProportions.ts"
import * as Report from "./Report.ts"

/** One task, metric and filter of both runs. */
export interface Row extends Paired.Difference {
  readonly task: string
  readonly metric: string
  readonly filter: string
  readonly n: number
  readonly first: number
  readonly second: number
  readonly higherIsBetter: boolean
  readonly adjusted: number
  /** Smallest difference found with a power of 80 %; NaN where there is none, or nothing to tell it by. */
  readonly detectable: number
}

const isValue = (value: unknown): value is Value =>
  typeof value === "number" || (Array.isArray(value) && value.length === 2 && typeof value[0] === "number")

/** Values of a metric by document. */
const valuesOf = (samples: ReadonlyArray<Files.ReadSample>, metric: string, filter: string) =>
  new Map(
    samples.flatMap((sample) => {
      const value = sample[metric]
      return sample.filter === filter && isValue(value)
        ? [[sample.doc_id, { value, hash: sample.doc_hash }] as const]
        : []
    }),
  )

/** The numbers of a list of values, if they are all plain numbers. */
const plain = (values: ReadonlyArray<Value>): ReadonlyArray<number> | undefined => {
  const numbers = values.flatMap((value) => (typeof value === "number" ? [value] : []))
  return numbers.length === values.length ? numbers : undefined
}

/** Discordance that is assumed where fewer items differ: what so few say of the next items is little. */
const leastDiscordance = 0.1

type Measured = Paired.Difference & Pick<Row, "detectable">

/** Scores of 0 and 1. */
const proportions = (differences: ReadonlyArray<number>): Measured => {
  const n = differences.length
  const [first, second] = [1, -1].map((sign) => differences.filter((d) => d === sign).length)
  const [onlyFirst, onlySecond] = [first ?? 0, second ?? 0]
  return {
    difference: (onlyFirst - onlySecond) / n,
    ...PairedProportions.interval(onlyFirst, onlySecond, n),
    pValue: PairedProportions.mcNemar(onlyFirst, onlySecond),
    detectable: PairedProportions.detectable(n, Math.max(leastDiscordance, (onlyFirst + onlySecond) / n)),
  }
}

const compareMetric = (
  first: ReadonlyArray<Value>,
  second: ReadonlyArray<Value>,
  metric: string,
): Omit<Row, "task" | "metric" | "filter" | "higherIsBetter" | "adjusted"> => {
  const aggregation = Metric.aggregationOf(metric)
  const [a, b] = [plain(first), plain(second)]
  const scores = {
    n: first.length,
    first: aggregation.aggregate(first),
    second: aggregation.aggregate(second),
  }
  if (aggregation.standardError !== "closed" || a === undefined || b === undefined) {
    return { ...scores, ...Paired.bootstrap(aggregation, first, second), detectable: Number.NaN }
  }
  const differences = a.map((value, i) => value - at(b, i))
  const binary = [...a, ...b].every((value) => value === 0 || value === 1)
  return {
    ...scores,
    ...(binary
      ? proportions(differences)
      : { ...PairedMeans.studentised(differences), detectable: PairedMeans.detectable(differences) }),
  }
}

const onlyIn = (run: string, tasks: object, others: object): ReadonlyArray<string> => {
  const names = Object.keys(tasks).filter((task) => !Object.hasOwn(others, task))
  return names.length === 0 ? [] : [`only ${run} has ${names.join(", ")}`]
}

/** What two runs of a task do not share: documents that one of them lacks, and documents that were asked otherwise. */
const notesOf = (
  task: string,
  first: ReadonlyArray<Files.ReadSample>,
  second: ReadonlyArray<Files.ReadSample>,
): ReadonlyArray<string> => {
  const [a, b] = [first, second].map((samples) => new Map(samples.map((one) => [one.doc_id, one])))
  const lacking = (run: string, own = a, other = b) => {
    const count = [...(own?.keys() ?? [])].filter((id) => other?.has(id) !== true).length
    return count === 0
      ? []
      : [`${task}: ${count} documents of ${run} are left out, the other run has not asked them`]
  }
  const unlike = [...(a ?? [])].filter(([id, { prompt_hash: hash }]) => {
    const other = b?.get(id)?.["prompt_hash"]
    return hash !== undefined && other !== undefined && other !== hash
  }).length
  return [
    ...lacking("A"),
    ...lacking("B", b, a),
    ...(unlike === 0
      ? []
      : [`${task}: ${unlike} documents were asked with other prompts (shots, template or task file differ)`]),
  ]
}

/** Compares the runs of two results files on the tasks they share. */
export const files = Effect.fn("Compare.files")(function* (firstPath: string, secondPath: string) {
  const [first, second] = yield* Effect.all([Files.readResults(firstPath), Files.readResults(secondPath)])
  const shared = Object.keys(first.configs).filter((task) => Object.hasOwn(second.configs, task))
  const fail = (problem: string) => new ResultsError({ path: secondPath, problem, blame: "input" })
  if (shared.length === 0) {
    return yield* fail(
      `shares no task with ${firstPath}: ${Object.keys(second.configs).join(", ")} against ${Object.keys(first.configs).join(", ")}`,
    )
  }
  const rows: Array<Row> = []
  const notes: Array<string> = [
    ...onlyIn("A", first.configs, second.configs),
    ...onlyIn("B", second.configs, first.configs),
  ]
  for (const task of shared) {
    const [a, b] = yield* Effect.all([
      Files.readSamples(firstPath, task),
      Files.readSamples(secondPath, task),
    ])
    const keysOf = (run: Files.Read) =>
      Object.keys(entryOr(run.results, task, {})).filter(
        (key) => key.includes(",") && !key.includes("_stderr,"),
      )
    const [keys, others] = [keysOf(first), keysOf(second)]
    const both = keys.filter((key) => others.includes(key))
    const alone = [...keys, ...others].filter((key) => !both.includes(key))
    if (alone.length > 0) notes.push(`${task}: only one run has ${alone.join("; ")}`)
    notes.push(...notesOf(task, a, b))
    for (const key of both) {
      const [metric = "", filter = ""] = key.split(",")
      const [left, right] = [valuesOf(a, metric, filter), valuesOf(b, metric, filter)]
      const ids = [...left.keys()].filter((id) => right.has(id))
      const changed = ids.find((id) => left.get(id)?.hash !== right.get(id)?.hash)
      if (changed !== undefined) {
        return yield* fail(
          `${task}: document ${changed} is another one in ${firstPath}; compare runs on the same data`,
        )
      }
      if (ids.length === 0) return yield* fail(`${task}: shares no document with ${firstPath} under ${key}`)
      const values = (of: typeof left) => ids.map((id) => entry(of, id).value)
      const higherIsBetter = first.higher_is_better[task]?.[metric] !== false
      const measured = compareMetric(values(left), values(right), metric)
      rows.push({ ...measured, task, metric, filter, higherIsBetter, adjusted: measured.pValue })
    }
  }
  const families = Map.groupBy(rows, ({ filter, metric }) => `${metric},${filter}`)
  const adjusted = new Map(
    [...families.values()].flatMap((family) => {
      const holm = Paired.holm(family.map(({ pValue }) => pValue))
      return family.map((row, i) => [row, holm[i] ?? row.pValue] as const)
    }),
  )
  return {
    first: first.model_name ?? firstPath,
    second: second.model_name ?? secondPath,
    notes,
    rows: rows.map((row): Row => ({ ...row, adjusted: adjusted.get(row) ?? row.pValue })),
  }
})

/** A comparison of two runs. */
export interface Comparison {
  readonly first: string
  readonly second: string
  /** What the runs do not share, and was therefore not compared or not asked alike. */
  readonly notes: ReadonlyArray<string>
  readonly rows: ReadonlyArray<Row>
}

const decimals = (value: number): string => (Number.isFinite(value) ? value.toFixed(4) : "–")
const signed = (value: number): string => (value > 0 ? `+${decimals(value)}` : decimals(value))
const probability = (value: number): string => (value < 0.0001 ? "<0.0001" : value.toFixed(4))

/** A detectable difference from which on a comparison says little of two models that are any good. */
const coarse = 0.2

/** What the numbers of documents leave unsaid, a line per number. */
const cautions = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  [...Map.groupBy(rows, ({ task }) => task)].flatMap(([task, own]) => {
    const { detectable, n } = at(own, 0)
    if (!PairedProportions.canReject(n))
      return [`${task}: ${n} documents are too few to say anything, whatever they show`]
    return detectable >= coarse
      ? [
          `${task}: ${n} documents are few: only a difference of ${decimals(detectable)} or more is likely to show`,
        ]
      : []
  })

/** The comparison as a table; a star marks differences that hold at 5 % after Holm's adjustment. */
export const render = (
  { first, notes, rows, second }: Comparison,
  format: Report.Format = "table",
): string => {
  const titles = ["task", "metric", "filter", "n", "A", "B", "A−B", "95 %", "p", "p (Holm)", "", "detectable"]
  const body = rows.map((row) => [
    row.task,
    `${row.metric} ${row.higherIsBetter ? "↑" : "↓"}`,
    row.filter,
    String(row.n),
    decimals(row.first),
    decimals(row.second),
    signed(row.difference),
    `${signed(row.low)} … ${signed(row.high)}`,
    probability(row.pValue),
    probability(row.adjusted),
    row.adjusted <= 0.05 ? "*" : "",
    decimals(row.detectable),
  ])
  const table = Report.lines(titles, body, format)
  const remarks = [...notes, ...cautions(rows)]
  const said = remarks.length === 0 ? "" : `\n\n${remarks.join("\n")}`
  return format === "csv" ? table : `A: ${first}\nB: ${second}\n\n${table}${said}`
}
