/**
 * Two runs compared document by document: differences with their intervals, tests, and what could have been found.
 *
 * Scores of 0 and 1 are tested by McNemar's exact test, others by the paired bootstrap. p-values are adjusted by Holm's
 * method over the tasks that share a metric and a filter.
 */
import * as Effect from "effect/Effect"
import { ResultsError } from "../EvalError.ts"
import type { Value } from "../metrics/Aggregation.ts"
import * as Metric from "../metrics/Metric.ts"
import * as Files from "./Files.ts"
import * as Paired from "./Paired.ts"
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
  /** Two-sided, of McNemar's test for scores of 0 and 1, else of the bootstrap. */
  readonly pValue: number
  readonly adjusted: number
  /** Smallest difference found with a power of 80 %; NaN for what is no mean over documents. */
  readonly minimumDetectable: number
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

const compareMetric = (
  first: ReadonlyArray<Value>,
  second: ReadonlyArray<Value>,
  metric: string,
): Omit<Row, "task" | "metric" | "filter" | "higherIsBetter" | "adjusted"> => {
  const aggregation = Metric.aggregationOf(metric)
  const result = Paired.bootstrap(aggregation, first, second)
  const [a, b] = [plain(first), plain(second)]
  const isMean = aggregation.standardError === "closed" && a !== undefined && b !== undefined
  const binary = isMean && [...a, ...b].every((value) => value === 0 || value === 1)
  const differences = isMean ? a.map((value, i) => value - (b[i] ?? 0)) : []
  return {
    ...result,
    n: first.length,
    first: aggregation.aggregate(first),
    second: aggregation.aggregate(second),
    pValue: binary
      ? Paired.mcNemar(differences.filter((d) => d > 0).length, differences.filter((d) => d < 0).length)
      : result.pValue,
    minimumDetectable: isMean ? Paired.minimumDetectable(differences) : Number.NaN,
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
      Object.keys(run.results[task] ?? {}).filter((key) => key.includes(",") && !key.includes("_stderr,"))
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
      const values = (of: typeof left) => ids.map((id) => of.get(id)?.value ?? Number.NaN)
      const higherIsBetter = first.higher_is_better[task]?.[metric] ?? true
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
    row.adjusted < 0.05 ? "*" : "",
    decimals(row.minimumDetectable),
  ])
  const table = Report.lines(titles, body, format)
  const said = notes.length === 0 ? "" : `\n\n${notes.join("\n")}`
  return format === "csv" ? table : `A: ${first}\nB: ${second}\n\n${table}${said}`
}
