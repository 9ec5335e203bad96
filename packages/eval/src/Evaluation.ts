/**
 * Evaluation: a model's scores on a task, with every document's responses.
 *
 * A task is read, its items are made, answered and scored. Nothing is printed, and nothing is written but the journal
 * that the caller gives.
 */
import { at, entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as PassAtK from "./code/PassAtK.ts"
import * as Programs from "./code/Programs.ts"
import type * as Sandbox from "./code/Sandbox.ts"
import type { ItemOverlap } from "./contamination/Contamination.ts"
import { TaskError } from "./EvalError.ts"
import type { Value } from "./metrics/Aggregation.ts"
import * as Filter from "./metrics/Filter.ts"
import * as Metric from "./metrics/Metric.ts"
import * as StandardError from "./metrics/StandardError.ts"
import * as Answering from "./requests/Answering.ts"
import * as Items from "./requests/Items.ts"
import type { Prompting } from "./requests/Prompting.ts"
import type { Journal } from "./requests/Journal.ts"
import type { Answer } from "./requests/Request.ts"
import * as Sampling from "./tasks/Sampling.ts"
import * as Dataset from "./tasks/Dataset.ts"
import * as FewShot from "./tasks/FewShot.ts"
import * as Fields from "./tasks/Fields.ts"
import type { Task } from "./tasks/Task.ts"

/** Which documents are asked, and how errors are estimated. */
export interface Options extends Dataset.Where {
  /** The first n documents, as the harness has it; below 1 that share of them. */
  readonly limit?: number
  /** n documents drawn by `seed`, in equal shares of the gold answers. */
  readonly sample?: number
  /** Seed of `sample`; 0 unless given. */
  readonly seed?: number
  /** Seed of the few-shot sampler; the harness's 1234 unless given. */
  readonly fewshotSeed?: number
  /** A system instruction and a chat template, if documents are asked with them. */
  readonly prompting?: Prompting
  /** Bootstrap replicates; the harness's 100,000 unless given, 0 for no standard errors. */
  readonly replicates?: number
}

/** One document under one filter. */
export interface Sample {
  readonly item: Items.Item
  readonly filter: string
  readonly answers: ReadonlyArray<Answer>
  /** What a filter leaves: an answer for each request, or what it made of all the texts that were generated. */
  readonly filtered: ReadonlyArray<Answer | Filter.Kept>
  readonly values: Readonly<Record<string, Value>>
}

/** One score of a task. */
export interface Score {
  readonly metric: string
  readonly filter: string
  readonly value: number
  readonly standardError: StandardError.StandardError
  readonly higherIsBetter: boolean
}

export interface TaskResult {
  readonly task: Task
  /** Where the documents came from. */
  readonly source: string
  /** Documents in the split, and those asked. */
  readonly documents: number
  readonly asked: number
  readonly scores: ReadonlyArray<Score>
  readonly samples: ReadonlyArray<Sample>
  /** How much of each item was found in the texts it was looked for in, if it was. */
  readonly overlaps?: ReadonlyArray<ItemOverlap>
  /** Data sets of the task that the model says it was trained on. */
  readonly trainedOn?: ReadonlyArray<string>
}

/** Reads a task's documents and makes the items that are asked. */
export const prepare = Effect.fn("Evaluation.prepare")(function* (task: Task, options: Options = {}) {
  const { config, file } = task
  const split = config.test_split ?? config.validation_split
  if (split === undefined || split === null) {
    return yield* new TaskError({
      file,
      key: "test_split",
      problem: "names the split to evaluate, and is missing",
    })
  }
  const where = {
    ...(options.data === undefined ? {} : { data: options.data }),
    ...(options.files === undefined ? {} : { files: options.files }),
  }
  const head = options.limit !== undefined && options.limit >= 1 ? Math.ceil(options.limit) : undefined
  const ofShots = config.fewshot_config?.process_docs ?? config.process_docs ?? null
  const shotSplit = task.numFewshot === 0 ? undefined : FewShot.split(task)
  const wanted = shotSplit === split || head === undefined ? {} : { end: head }
  const { rows, source } = yield* Dataset.read(file, config, split, { ...where, ...wanted })
  if (rows.length === 0) return yield* new TaskError({ file, problem: `${source} has no documents` })
  const pool =
    shotSplit === undefined
      ? []
      : shotSplit === split && ofShots === (config.process_docs ?? null)
        ? rows
        : (yield* Dataset.read(file, { ...config, process_docs: ofShots }, shotSplit, where)).rows
  const shots = yield* FewShot.choose(task, pool, rows, options.fewshotSeed ?? 1234)
  const chosen = yield* Sampling.choose(task, rows, options)
  for (const { name, needs } of task.filters) {
    const lacking = needs.flatMap((column) =>
      chosen.filter((id) => Filter.texts(rows[id]?.[column]) === undefined).map((id) => ({ column, id })),
    )[0]
    if (lacking !== undefined) {
      const problem = `document ${lacking.id} has no list of texts "${lacking.column}", which the filter reads`
      return yield* new TaskError({ file, key: `filter_list.${name}`, problem })
    }
  }
  const made = yield* Effect.forEach(chosen, (id) =>
    Items.make(task, id, at(rows, id), shots(id), options.prompting),
  )
  return { task, items: made, source, documents: rows.length } satisfies Prepared
})

const logLikelihood = (answer: Answer | undefined): number =>
  typeof answer === "number" ? answer : Array.isArray(answer) ? Number(answer[0]) : Number.NaN
const isGreedy = (answer: Answer | undefined): boolean => Array.isArray(answer) && answer[1] === true

const answeredOf = (
  task: Task,
  item: Items.Item,
  answers: ReadonlyArray<Answer>,
  passed: ReadonlyArray<boolean> | undefined,
): Metric.Answered => {
  if (passed !== undefined) return { _tag: "Programs", passed }
  switch (task.outputType) {
    case "multiple_choice": {
      const sums = answers.map(logLikelihood)
      const n = item.choices.length
      return {
        _tag: "Choices",
        choices: item.choices,
        logLikelihoods: sums.slice(0, n),
        greedy: answers.map(isGreedy).slice(0, n),
        unconditional: sums.slice(n),
        golds: item.golds,
      }
    }
    case "loglikelihood":
      return {
        _tag: "LogLikelihood",
        logLikelihood: logLikelihood(answers[0]),
        greedy: isGreedy(answers[0]),
      }
    case "loglikelihood_rolling": {
      const [request] = item.requests
      const text = request?._tag === "Rolling" ? request.text : ""
      return { _tag: "Rolling", logLikelihood: logLikelihood(answers[0]), text }
    }
    case "generate_until": {
      const references = Fields.golds(item.target).map((gold) => {
        const index = Fields.indexOf(gold)
        return index === undefined ? String(gold) : (item.choices[index] ?? String(gold))
      })
      const several = Array.isArray(item.target)
      return { _tag: "Texts", texts: answers.map(String), references, several }
    }
  }
}

const valuesOf = (
  task: Task,
  item: Items.Item,
  answers: ReadonlyArray<Answer>,
  passed: ReadonlyArray<boolean> | undefined,
): Readonly<Record<string, Value>> => {
  const { metrics, processResults } = task
  if (processResults !== undefined) {
    return processResults(
      item.row,
      answers.map((answer) => ({
        logLikelihood: logLikelihood(answer),
        isGreedy: isGreedy(answer),
        text: typeof answer === "string" ? answer : "",
      })),
    )
  }
  const answered = answeredOf(task, item, answers, passed)
  return Object.fromEntries(metrics.map((metric) => [metric.name, metric.measure(answered)]))
}

/** What a filter makes of the answers to one item, and the answers that are scored by it. */
const filteredBy = (
  task: Task,
  filter: Filter.Filter,
  answers: ReadonlyArray<Answer>,
  { row }: Pick<Items.Item, "row">,
): { readonly filtered: Sample["filtered"]; readonly scored: ReadonlyArray<Answer> } => {
  if (task.outputType !== "generate_until") return { filtered: answers, scored: answers }
  const kept = filter.apply(answers.map(String), row)
  return { filtered: [kept], scored: Filter.textsOf(kept) }
}

/** Which of the programs pass that responses make: [filters][items][samples]; nothing for a task without programs. */
export const verdicts = Effect.fn("Evaluation.verdicts")(function* (
  task: Task,
  made: ReadonlyArray<Items.Item>,
  answers: ReadonlyArray<ReadonlyArray<Answer>>,
  sandbox: Sandbox.Sandbox | undefined,
) {
  const { file, filters, programs } = task
  if (programs === undefined) return undefined
  if (sandbox === undefined) {
    return yield* new TaskError({
      file,
      key: "unsafe_code",
      problem: "its programs need a sandbox to run in",
    })
  }
  const most = Math.max(...task.metrics.map(({ name }) => PassAtK.kOf(name) ?? 1))
  return yield* Effect.forEach(
    filters,
    Effect.fnUntraced(function* (filter) {
      const responses = made.map((item, i) =>
        filteredBy(task, filter, at(answers, i), item).scored.map(String),
      )
      const fewest = Math.min(...responses.map(({ length }) => length))
      if (fewest < most) {
        return yield* new TaskError({
          file,
          key: `filter_list.${filter.name}`,
          problem: `leaves ${fewest} of the samples, pass@${most} needs ${most}; take_first_k keeps them`,
        })
      }
      return yield* Programs.judge(sandbox, programs, made, responses)
    }),
  )
})

/** Scores items by the answers to their requests, filter by filter; `passed` are the verdicts of a task of programs. */
export const score = (
  task: Task,
  made: ReadonlyArray<Items.Item>,
  answers: ReadonlyArray<ReadonlyArray<Answer>>,
  replicates = 100_000,
  passed?: ReadonlyArray<ReadonlyArray<ReadonlyArray<boolean>>>,
): { readonly samples: ReadonlyArray<Sample>; readonly scores: ReadonlyArray<Score> } => {
  const samples: Array<Sample> = []
  const scores: Array<Score> = []
  for (const [f, filter] of task.filters.entries()) {
    const own = made.map((item, i): Sample => {
      const given = at(answers, i)
      const { filtered, scored } = filteredBy(task, filter, given, item)
      const values = valuesOf(task, item, scored, passed?.[f]?.[i])
      return { item, filter: filter.name, answers: given, filtered, values }
    })
    samples.push(...own)
    for (const { aggregation, higherIsBetter, name } of task.metrics) {
      const values = own.map((sample) => entryOr(sample.values, name, Number.NaN))
      scores.push({
        metric: name,
        filter: filter.name,
        value: aggregation.aggregate(values),
        standardError: StandardError.of(aggregation, values, replicates),
        higherIsBetter,
      })
    }
  }
  return { samples, scores }
}

/** A task with its items, ready to be asked. */
export interface Prepared {
  readonly task: Task
  readonly items: ReadonlyArray<Items.Item>
  /** Where the documents came from, and how many there are in the split. */
  readonly source: string
  readonly documents: number
}

/** A model's result on a task. */
export const task = Effect.fn("Evaluation.task")(function* (
  respondent: Answering.Respondent,
  { documents, items: made, source, task }: Prepared,
  journal: Journal,
  options: { readonly replicates?: number | undefined; readonly sandbox?: Sandbox.Sandbox | undefined } = {},
  progress?: (state: Answering.Progress) => Effect.Effect<void>,
) {
  const answers = yield* Answering.answer(
    respondent,
    made.flatMap((item) => item.requests),
    journal,
    progress,
  )
  const own = perItem(made, answers)
  return {
    task,
    source,
    documents,
    asked: made.length,
    ...score(task, made, own, options.replicates, yield* verdicts(task, made, own, options.sandbox)),
  } satisfies TaskResult
})

/** Answers to the requests of all items, item by item. */
export const perItem = (
  items: ReadonlyArray<Items.Item>,
  answers: ReadonlyArray<Answer>,
): ReadonlyArray<ReadonlyArray<Answer>> => {
  let at = 0
  return items.map(({ requests }) => answers.slice(at, (at += requests.length)))
}
