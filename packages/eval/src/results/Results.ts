/**
 * Results of a run in the reference harness's form: scores per task and group, versions, shots, numbers of documents,
 * settings. Made from finished tasks; a run that is not over gives the results of those that are.
 */
import { Digest } from "@hila/core"
import { entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Contamination from "../contamination/Contamination.ts"
import * as Overlap from "../contamination/Overlap.ts"
import { TaskError } from "../EvalError.ts"
import type { Options, Sample, Score, TaskResult } from "../Evaluation.ts"
import type { Kept } from "../metrics/Filter.ts"
import * as StandardError from "../metrics/StandardError.ts"
import { float, python } from "../internal/python.ts"
import * as PythonJson from "../internal/pythonJson.ts"
import type { Prompting } from "../requests/Prompting.ts"
import type { Answer, Request } from "../requests/Request.ts"
import type { GroupEntry } from "../tasks/Catalog.ts"
import type { Task } from "../tasks/Task.ts"
import { truthOf } from "../tasks/TaskConfig.ts"

/** Scores of one task or group: `name`, `alias`, `sample_len`, and `metric,filter` with `metric_stderr,filter`. */
export type Entry = Readonly<Record<string, unknown>>

/** How many items were found in texts. */
export interface Found {
  readonly items: number
  /** Those of which at least `threshold` of the n-grams, of `n` words, were found, and their share of `items`. */
  readonly overlapping: number
  readonly share: number
  readonly threshold: number
  readonly n: number
  readonly against: ReadonlyArray<string>
}

/** The harness's results file. */
export interface Results {
  readonly results: Readonly<Record<string, Entry>>
  readonly groups?: Readonly<Record<string, Entry>>
  readonly group_subtasks: Readonly<Record<string, ReadonlyArray<string>>>
  readonly configs: Readonly<Record<string, unknown>>
  readonly versions: Readonly<Record<string, unknown>>
  readonly "n-shot": Readonly<Record<string, number>>
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>
  readonly "n-samples": Readonly<Record<string, { readonly original: number; readonly effective: number }>>
  /** Per task and group, where the items were looked for in texts. */
  readonly contamination?: Readonly<Record<string, Found>>
  /** Per task and group, its data sets that the model says it was trained on. */
  readonly trained_on?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly [key: string]: unknown
}

/** What a run was, beside its tasks. */
export interface Run {
  readonly model: string
  /** Stands for the model's weights. */
  readonly modelDigest: string
  readonly parameters: number
  readonly maxLength: number
  readonly options: Omit<Options, "prompting">
  readonly prompting: Prompting
  /** Files of texts in which items were looked for. */
  readonly against: ReadonlyArray<string>
  readonly groups: ReadonlyArray<GroupEntry>
  /** ISO date of the run's start. */
  readonly date: string
  readonly seconds: number
}

const alias = (value: string | null | undefined, name: string) => value ?? name

const entryOf = (scores: ReadonlyArray<Score>): Entry =>
  Object.fromEntries(
    scores.flatMap(({ filter, metric, standardError, value }) => [
      [`${metric},${filter}`, value],
      [`${metric}_stderr,${filter}`, standardError],
    ]),
  )

/** Names of the tasks of a group, those of its groups included. */
const membersOf = (
  group: GroupEntry,
  groups: ReadonlyMap<string, GroupEntry>,
  tasks: ReadonlyMap<string, Pick<TaskResult, "task">>,
): ReadonlyArray<string> =>
  group.members.flatMap((name) => {
    const below = groups.get(name)
    return below === undefined ? (tasks.has(name) ? [name] : []) : membersOf(below, groups, tasks)
  })

/** Fails where a group sums up a metric that none of its tasks has: its column would be missing without a word. */
export const checkGroups = Effect.fnUntraced(function* (
  groups: ReadonlyArray<GroupEntry>,
  tasks: ReadonlyArray<Task>,
) {
  const byName = new Map(groups.map((group) => [group.name, group]))
  const tasksByName = new Map(tasks.map((task) => [task.name, { task }]))
  for (const group of groups) {
    const members = membersOf(group, byName, tasksByName)
    const metrics = new Set(
      members.flatMap((name) => entry(tasksByName, name).task.metrics).map(({ name }) => name),
    )
    const missing = (group.config.aggregate_metric_list ?? []).find(({ metric }) => !metrics.has(metric))
    if (missing !== undefined) {
      const problem = `no task of the group has ${missing.metric}; they have ${[...metrics].join(", ")}`
      return yield* new TaskError({ file: group.file, key: "aggregate_metric_list", problem })
    }
  }
})

/** A group's own scores: the mean of its tasks' under the same metric and filter. */
const groupEntry = (group: GroupEntry, members: ReadonlyArray<TaskResult>): Entry => {
  const count: Record<string, number> = {}
  const scores: Record<string, unknown> = {}
  for (const { filter_list: asked, metric, weight_by_size: weighted = true } of group.config
    .aggregate_metric_list ?? []) {
    const present = new Set(
      members.flatMap(({ scores: own }) => own.filter((s) => s.metric === metric).map((s) => s.filter)),
    )
    const filters = asked === undefined || asked === null ? [...present] : [asked].flat()
    for (const filter of filters) {
      const parts = members.flatMap(({ asked: size, scores: own }) => {
        const score = own.find((one) => one.metric === metric && one.filter === filter)
        return score === undefined ? [] : [{ size, ...score }]
      })
      if (parts.length === 0) continue
      const total = parts.reduce((sum, { size }) => sum + size, 0)
      const mean =
        truthOf(weighted) === true
          ? parts.reduce((sum, { size, value }) => sum + size * value, 0) / total
          : parts.reduce((sum, { value }) => sum + value, 0) / parts.length
      scores[`${metric},${filter}`] = mean
      scores[`${metric}_stderr,${filter}`] = StandardError.pooled(parts)
      count[`${metric},${filter}`] = total
    }
  }
  return {
    name: group.name,
    alias: alias(group.config.group_alias, group.name),
    sample_len: members.reduce((sum, { asked }) => sum + asked, 0),
    ...scores,
    sample_count: count,
  }
}

const foundOf = (results: ReadonlyArray<TaskResult>, against: ReadonlyArray<string>): Found => {
  const items = results.flatMap(({ overlaps = [] }) => overlaps)
  const overlapping = Contamination.reached(items)
  const share = items.length === 0 ? 0 : overlapping / items.length
  const { threshold } = Contamination
  return { items: items.length, overlapping, share, threshold, n: Overlap.standardLength, against }
}

const hash = (text: string): string => Digest.of(text)

/** The results of the tasks that are finished. */
export const make = (finished: ReadonlyArray<TaskResult>, run: Run): Results => {
  const byName = new Map(finished.map((result) => [result.task.name, result]))
  const groups = new Map(run.groups.map((group) => [group.name, group]))
  const members = new Map(
    run.groups.map((group) => [
      group.name,
      membersOf(group, groups, byName).map((name) => entry(byName, name)),
    ]),
  )
  const table = <A>(of: (result: TaskResult) => A) =>
    Object.fromEntries(finished.map((result) => [result.task.name, of(result)]))
  const groupTable = Object.fromEntries(
    run.groups.map((group) => [group.name, groupEntry(group, entry(members, group.name))]),
  )
  /** The same of tasks and groups; a group's is over its tasks. */
  const tableOfAll = <A>(of: (results: ReadonlyArray<TaskResult>) => A) => ({
    ...table((result) => of([result])),
    ...Object.fromEntries(run.groups.map(({ name }) => [name, of(entry(members, name))])),
  })
  const trainedOn = Object.entries(
    tableOfAll((results) => [...new Set(results.flatMap(({ trainedOn: sets = [] }) => sets))]),
  ).filter(([, sets]) => sets.length > 0)
  const better = (results: ReadonlyArray<TaskResult>) =>
    Object.fromEntries(results.flatMap(({ scores }) => scores.map((s) => [s.metric, s.higherIsBetter])))
  return {
    results: {
      ...table(({ asked, scores, task }) => ({
        name: task.name,
        alias: alias(task.config.task_alias, task.name),
        sample_len: asked,
        ...entryOf(scores),
      })),
      ...groupTable,
    },
    ...(run.groups.length === 0 ? {} : { groups: groupTable }),
    group_subtasks: Object.fromEntries(run.groups.map((group) => [group.name, group.members])),
    configs: table(({ task }) => task.config),
    versions: table(({ task }) => task.config.metadata?.["version"] ?? "Yaml"),
    "n-shot": {
      ...table(({ task }) => task.numFewshot),
      ...Object.fromEntries(
        run.groups.map(({ name }) => {
          const [first] = entry(members, name)
          return [name, first?.task.numFewshot ?? 0]
        }),
      ),
    },
    higher_is_better: tableOfAll(better),
    "n-samples": table(({ asked, documents }) => ({ original: documents, effective: asked })),
    config: {
      model: "hila",
      model_args: { pretrained: run.model, max_length: run.maxLength },
      model_num_parameters: run.parameters,
      model_dtype: "float32",
      model_sha: run.modelDigest,
      limit: run.options.limit ?? null,
      sample: run.options.sample ?? null,
      sample_seed: run.options.sample === undefined ? null : (run.options.seed ?? 0),
      sample_ids:
        run.options.sample === undefined ? null : table(({ samples }) => samples.map(({ item }) => item.id)),
      bootstrap_iters: run.options.replicates ?? 100_000,
      fewshot_seed: run.options.fewshotSeed ?? 1234,
    },
    ...(run.against.length === 0
      ? {}
      : { contamination: tableOfAll((results) => foundOf(results, run.against)) }),
    ...(trainedOn.length === 0 ? {} : { trained_on: Object.fromEntries(trainedOn) }),
    system_instruction: run.prompting.system ?? null,
    system_instruction_sha: run.prompting.system === undefined ? null : hash(run.prompting.system),
    chat_template: run.prompting.chat?.source ?? null,
    chat_template_sha: run.prompting.chat === undefined ? null : hash(run.prompting.chat.source),
    fewshot_as_multiturn: run.prompting.multiturn ?? false,
    sources: table(({ source }) => source),
    date: run.date,
    model_name: run.model,
    max_length: run.maxLength,
    total_evaluation_time_seconds: run.seconds,
  }
}

const argumentsOf = (request: Request, settings: unknown): Readonly<Record<string, unknown>> => {
  switch (request._tag) {
    case "LogLikelihood":
      return { arg_0: request.context, arg_1: request.continuation }
    case "Rolling":
      return { arg_0: request.text }
    case "Generate":
      return { arg_0: request.context, arg_1: settings }
  }
}

/** An answer as the harness writes it down: texts, of a log-likelihood and whether it is the most likely text. */
const said = (answer: Answer | Kept | boolean): unknown =>
  typeof answer === "object"
    ? answer.map((part: Answer | Kept | boolean) => said(part))
    : python(typeof answer === "number" ? float(answer) : answer)

/** One line of the harness's samples file: a document under one filter. */
export const sample = ({ answers, filter, filtered, item, values }: Sample, settings: unknown): Entry => {
  const [first] = item.requests
  const prompt = first === undefined ? "" : first._tag === "Rolling" ? first.text : first.context
  return {
    doc_id: item.id,
    doc: item.row,
    target: python(item.target),
    arguments: Object.fromEntries(
      // Several texts of one context are one set of arguments with several responses.
      (first?._tag === "Generate" ? [first] : item.requests).map((request, i) => [
        `gen_args_${i}`,
        argumentsOf(request, settings),
      ]),
    ),
    resps: first?._tag === "Generate" ? [answers.map(said)] : answers.map((answer) => [said(answer)]),
    filtered_resps: filtered.map((answer) => said(answer)),
    filter,
    metrics: Object.keys(values),
    doc_hash: hash(PythonJson.dump(item.row, 2)),
    prompt_hash: hash(prompt),
    target_hash: hash(python(item.target)),
    ...values,
  }
}
