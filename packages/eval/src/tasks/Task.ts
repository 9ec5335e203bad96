/**
 * A task ready to be used: its file's settings with their defaults, and its templates read.
 *
 * Made from a `TaskConfig`; everything that can be wrong with a task before its data are there is found here.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as PassAtK from "../code/PassAtK.ts"
import * as Programs from "../code/Programs.ts"
import { TaskError } from "../EvalError.ts"
import * as Filter from "../metrics/Filter.ts"
import * as Metric from "../metrics/Metric.ts"
import * as Fields from "./Fields.ts"
import * as Functions from "./Functions.ts"
import * as Generation from "./Generation.ts"
import { FunctionName, type MetricEntry, type OutputType, type TaskConfig, truthOf } from "./TaskConfig.ts"

/** What is read from a document to make a prompt or a shot of it. */
export interface Readers {
  readonly text: Fields.Reader<string | number>
  readonly target: Fields.Reader<Fields.Target>
  readonly choices: Fields.Reader<ReadonlyArray<string>> | undefined
  /** What an answer begins with, or "". */
  readonly genPrefix: Fields.Reader<string>
  readonly targetDelimiter: string
  readonly fewshotDelimiter: string
}

export interface Task {
  readonly name: string
  readonly file: string
  readonly config: TaskConfig
  readonly outputType: OutputType
  readonly readers: Readers
  /** The same for shots, which may be laid out otherwise. */
  readonly shots: Readers
  readonly description: Fields.Reader<unknown>
  readonly numFewshot: number
  readonly generation: Generation.Generation
  /** Texts generated for each document. */
  readonly repeats: number
  readonly filters: ReadonlyArray<Filter.Filter>
  readonly metrics: ReadonlyArray<Metric.Metric>
  /** The programs that responses are run as, where the task judges them so. */
  readonly programs: Programs.Programs | undefined
  /** Replaces the metrics' own reading of the responses. */
  readonly processResults: Functions.Results | undefined
}

const defaultMetrics: Readonly<Record<OutputType, ReadonlyArray<string>>> = {
  multiple_choice: ["acc", "acc_norm"],
  loglikelihood: ["perplexity", "acc"],
  loglikelihood_rolling: ["word_perplexity", "byte_perplexity", "bits_per_byte"],
  generate_until: ["exact_match"],
}

/** Metrics of a task's file, pass@k as one for each of its k. */
const metricsOf = Effect.fnUntraced(function* (
  file: string,
  outputType: OutputType,
  config: TaskConfig,
): Effect.fn.Return<ReadonlyArray<MetricEntry>, TaskError> {
  const given: ReadonlyArray<MetricEntry> =
    config.metric_list ?? defaultMetrics[outputType].map((metric) => ({ metric }))
  const expanded = yield* Effect.mapError(
    Effect.fromResult(Result.all(given.map(PassAtK.expand))),
    (problem) => new TaskError({ file, key: "metric_list.pass@k", problem }),
  )
  return expanded.flat()
})

/** Whether a task says that programs are run which a model wrote. */
export const runsCode = (config: TaskConfig): boolean => truthOf(config.unsafe_code ?? false) === true

/** The programs of the metric pass@k; a task whose code is unsafe has to have it, and no other task may. */
const programsOf = Effect.fnUntraced(function* (
  file: string,
  config: TaskConfig,
  metrics: ReadonlyArray<MetricEntry>,
  allowCode: boolean,
) {
  const fail = (key: string, problem: string) => new TaskError({ file, key, problem })
  const entries = metrics.filter(({ metric }) => PassAtK.kOf(metric) !== undefined)
  const [entry] = entries
  if (!runsCode(config)) {
    return entry === undefined
      ? undefined
      : yield* fail("unsafe_code", "pass@k runs programs a model wrote; say so with unsafe_code: true")
  }
  if (!allowCode) {
    return yield* fail(
      "unsafe_code",
      "scoring this task runs programs a model wrote; allow it with --allow-code, and they run in a sandbox",
    )
  }
  if (entry === undefined) return yield* fail("metric_list", "a task of unsafe code is scored by pass@k")
  const most = Math.max(...entries.map(({ metric }) => PassAtK.kOf(metric) ?? 0))
  if (most > (config.repeats ?? 1)) {
    return yield* fail(
      `metric_list.pass@${most}`,
      `needs at least ${most} samples of a document; repeats is ${config.repeats ?? 1}`,
    )
  }
  const { aggregation: _aggregation, higher_is_better: _higher, metric, ...given } = entry
  return yield* Effect.mapError(Effect.fromResult(Programs.make(given)), (problem) =>
    fail(`metric_list.pass@${PassAtK.kOf(metric) ?? "k"}`, problem),
  )
})

/** Fails where documents or shots are made by a function that is not here. */
const checkFunctions = Effect.fnUntraced(function* (file: string, config: TaskConfig) {
  const { process_docs: ofShots, sampler, samples } = config.fewshot_config ?? {}
  for (const [key, value] of Object.entries({ sampler, samples })) {
    if (value instanceof FunctionName) {
      const problem = `!function ${value.function} is a Python function, which Hila does not run; write the ${key === "samples" ? "samples out" : "sampler's name"}`
      return yield* new TaskError({ file, key: `fewshot_config.${key}`, problem })
    }
  }
  for (const [key, value] of Object.entries({
    process_docs: config.process_docs,
    "fewshot_config.process_docs": ofShots,
  })) {
    if (value !== undefined && value !== null) yield* Functions.find(Functions.processes, file, key, value)
  }
  const { custom_dataset: made } = config
  if (made !== undefined) yield* Functions.find(Functions.datasets, file, "custom_dataset", made)
})

/**
 * Reads a task's settings. `numFewshot` takes the place of the file's number, unless the file says 0; a task that runs
 * programs is refused without `allowCode`.
 */
export const make = Effect.fn("Task.make")(function* (
  file: string,
  config: TaskConfig,
  options: { readonly numFewshot?: number; readonly allowCode?: boolean } = {},
): Effect.fn.Return<Task, TaskError> {
  const fail = (key: string, problem: string) => new TaskError({ file, key, problem })
  yield* checkFunctions(file, config)
  const outputType = config.output_type ?? "generate_until"
  const metricList = yield* metricsOf(file, outputType, config)
  const programs = yield* programsOf(file, config, metricList, options.allowCode === true)
  const ownResults = config.process_results !== undefined && config.process_results !== null
  const hasChoices = config.doc_to_choice !== undefined && config.doc_to_choice !== null
  if (outputType === "multiple_choice" && !hasChoices) {
    return yield* fail("doc_to_choice", "a multiple_choice task needs its choices")
  }
  const readersOf = Effect.fnUntraced(function* (own: {
    readonly text: TaskConfig["doc_to_text"]
    readonly target: TaskConfig["doc_to_target"]
    readonly choice: TaskConfig["doc_to_choice"]
    readonly genPrefix: string
    readonly targetDelimiter: string
    readonly fewshotDelimiter: string
  }) {
    const choice = own.choice ?? undefined
    return {
      text: yield* Fields.text(file, own.text ?? "", choice !== undefined),
      target: yield* Fields.target(file, own.target ?? "", choice !== undefined),
      choices: choice === undefined ? undefined : yield* Fields.choices(file, choice),
      genPrefix: yield* Fields.rendered(file, "gen_prefix", own.genPrefix),
      targetDelimiter: own.targetDelimiter,
      fewshotDelimiter: own.fewshotDelimiter,
    } satisfies Readers
  })
  const targetDelimiter = config.target_delimiter ?? " "
  const fewshotDelimiter = config.fewshot_delimiter ?? "\n\n"
  const genPrefix = config.gen_prefix ?? ""
  const shot = config.fewshot_config ?? {}
  const filters = yield* Effect.forEach(
    config.filter_list ?? [{ name: "none", filter: [{ function: "take_first" }] }],
    (filter) => Filter.make(file, filter),
  )
  return {
    name: config.task,
    file,
    config,
    outputType,
    readers: yield* readersOf({
      text: config.doc_to_text,
      target: config.doc_to_target,
      choice: config.doc_to_choice,
      genPrefix,
      targetDelimiter,
      fewshotDelimiter,
    }),
    shots: yield* readersOf({
      text: shot.doc_to_text ?? config.doc_to_text,
      target: shot.doc_to_target ?? config.doc_to_target,
      choice: shot.doc_to_choice ?? config.doc_to_choice,
      genPrefix: shot.gen_prefix ?? genPrefix,
      targetDelimiter: shot.target_delimiter ?? targetDelimiter,
      fewshotDelimiter: shot.fewshot_delimiter ?? fewshotDelimiter,
    }),
    description: yield* Fields.reader(file, "description", config.description ?? ""),
    numFewshot: config.num_fewshot === 0 ? 0 : (options.numFewshot ?? config.num_fewshot ?? 0),
    generation: yield* Generation.make(file, config, fewshotDelimiter),
    repeats: outputType === "generate_until" ? (config.repeats ?? 1) : 1,
    filters,
    metrics: yield* Effect.forEach(metricList, (entry) => Metric.make(file, outputType, entry, ownResults)),
    programs,
    processResults:
      config.process_results === undefined || config.process_results === null
        ? undefined
        : yield* Functions.find(Functions.results, file, "process_results", config.process_results),
  }
})
