/**
 * Task and group files as data: the schema of lm-evaluation-harness's YAML, with its defaults.
 *
 * A file is read as it is. Unknown keys are errors, since a misspelt `num_fewshot` would change a score in silence.
 * Nothing is rendered and no data are read here.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { TaskError } from "../EvalError.ts"
import { python } from "../internal/python.ts"
import { nearest } from "../internal/suggestion.ts"

/** A function named by `!function name`. */
export class FunctionName extends Schema.Class<FunctionName>("FunctionName")({ function: Schema.String }) {}

/** A template, a column, a constant, or a function of the document. */
const Field = Schema.Union([
  Schema.String,
  Schema.Finite,
  Schema.Array(Schema.Unknown),
  FunctionName,
  Schema.Record(Schema.String, Schema.Unknown),
])
export type Field = typeof Field.Type

/**
 * Whether the harness takes a value as true, as Python does. Nothing for a text that says no, since Python takes it for
 * true, and for what is no value of YAML's.
 */
export const truthOf = (value: unknown): boolean | undefined => {
  if (value === null || typeof value === "boolean" || typeof value === "number") return Boolean(value)
  if (typeof value !== "string" || /^(?:no|n|false|off|0)$/i.test(value)) return undefined
  return value !== ""
}

const Text = Schema.NullOr(Schema.String)
const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const optional = Schema.optionalKey
const Arguments = Schema.Record(Schema.String, Schema.Unknown)

/** What the harness takes as true or false; a text that reads as no would be true to Python, and is refused. */
const Truth = Schema.Union([
  Schema.Boolean,
  Schema.Finite,
  Schema.Null,
  Schema.String.check(Schema.isPattern(/^(?!(?:no|n|false|off|0)$)/i)),
])

/** What a task asks of a model. */
export const OutputType = Schema.Literals([
  "multiple_choice",
  "loglikelihood",
  "loglikelihood_rolling",
  "generate_until",
])
export type OutputType = typeof OutputType.Type

const FilterStep = Schema.StructWithRest(
  Schema.Struct({ function: Schema.Union([Schema.String, FunctionName]) }),
  [Arguments],
)
const Filter = Schema.Struct({ name: Schema.String, filter: Schema.Array(FilterStep) })
export type Filter = typeof Filter.Type

const MetricEntry = Schema.StructWithRest(
  Schema.Struct({
    metric: Schema.Union([Schema.String, FunctionName]),
    aggregation: optional(Schema.Union([Schema.String, FunctionName])),
    higher_is_better: optional(Truth),
  }),
  [Arguments],
)
export type MetricEntry = typeof MetricEntry.Type

const fewshotFields = {
  sampler: optional(Schema.Union([Schema.String, FunctionName])),
  split: optional(Text),
  samples: optional(Schema.Union([Schema.Array(Arguments), FunctionName])),
  fewshot_indices: optional(Schema.NullOr(Schema.Array(Count))),
  doc_to_text: optional(Field),
  doc_to_target: optional(Field),
  doc_to_choice: optional(Field),
  gen_prefix: optional(Text),
  target_delimiter: optional(Schema.String),
  fewshot_delimiter: optional(Schema.String),
  process_docs: optional(FunctionName),
}

const taskFields = {
  task: Schema.String,
  task_alias: optional(Text),
  tag: optional(Schema.NullOr(Schema.Union([Schema.String, Schema.Array(Schema.String)]))),
  dataset_path: optional(Text),
  dataset_name: optional(Text),
  dataset_kwargs: optional(Schema.NullOr(Arguments)),
  custom_dataset: optional(FunctionName),
  training_split: optional(Text),
  validation_split: optional(Text),
  test_split: optional(Text),
  fewshot_split: optional(Text),
  process_docs: optional(Schema.NullOr(FunctionName)),
  doc_to_text: optional(Schema.NullOr(Field)),
  doc_to_target: optional(Schema.NullOr(Field)),
  doc_to_choice: optional(Schema.NullOr(Field)),
  process_results: optional(Schema.NullOr(FunctionName)),
  description: optional(Schema.String),
  target_delimiter: optional(Schema.String),
  fewshot_delimiter: optional(Schema.String),
  fewshot_config: optional(Schema.NullOr(Schema.Struct(fewshotFields))),
  num_fewshot: optional(Schema.NullOr(Count)),
  output_type: optional(OutputType),
  generation_kwargs: optional(Schema.NullOr(Arguments)),
  repeats: optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  filter_list: optional(Schema.NullOr(Schema.Array(Filter))),
  metric_list: optional(Schema.NullOr(Schema.Array(MetricEntry))),
  gen_prefix: optional(Text),
  unsafe_code: optional(Truth),
  should_decontaminate: optional(Truth),
  doc_to_decontamination_query: optional(Schema.Union([Text, FunctionName])),
  metadata: optional(Schema.NullOr(Arguments)),
}

/** A task's file. */
export const TaskConfig = Schema.Struct(taskFields)
export type TaskConfig = typeof TaskConfig.Type

const AggregateMetric = Schema.Struct({
  metric: Schema.String,
  aggregation: optional(Schema.Literal("mean")),
  weight_by_size: optional(Truth),
  filter_list: optional(Schema.NullOr(Schema.Union([Schema.String, Schema.Array(Schema.String)]))),
})
export type AggregateMetric = typeof AggregateMetric.Type

/** A group's file: tasks and groups by name or written out, and what is summed up over them. */
export const GroupConfig = Schema.Struct({
  group: Schema.String,
  group_alias: optional(Text),
  task: Schema.Array(Schema.Union([Schema.String, Arguments])),
  aggregate_metric_list: optional(Schema.NullOr(Schema.Array(AggregateMetric))),
  metadata: optional(Schema.NullOr(Arguments)),
})
export type GroupConfig = typeof GroupConfig.Type

/** Keys of a group's own; what else its file says is said of its tasks. */
export const groupKeys: ReadonlyArray<string> = Object.keys(GroupConfig.fields)

const complain = (file: string, problem: string, key?: string) =>
  new TaskError({ file, problem, ...(key === undefined ? {} : { key }) })

const requireKnown = (
  file: string,
  value: Readonly<Record<string, unknown>>,
  known: ReadonlyArray<string>,
  within = "",
) => {
  const key = Object.keys(value).find((name) => !known.includes(name))
  if (key === undefined) return Effect.void
  const near = nearest(key, known)
  const advice = near === undefined ? `the keys are ${known.join(", ")}` : `did you mean ${near}?`
  return Effect.fail(complain(file, `unknown key; ${advice}`, `${within}${key}`))
}

/** A schema's complaint in one line: the key it is about, what was expected and what is there. */
const problemOf = (file: string, raw: unknown, cause: { readonly message: string }) => {
  const [, message = cause.message, path = ""] =
    /^([\s\S]*?)\s*\n?\s*at ((?:\["?[^\]]*"?\])+)\s*$/.exec(cause.message) ?? []
  const keys = [...path.matchAll(/\["?([^\]"]*)"?\]/g)].map(([, key = ""]) => key)
  const found = keys.reduce<unknown>(
    (value, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined),
    raw,
  )
  const got = found === undefined ? "" : `, got ${JSON.stringify(found)}`
  if (found instanceof FunctionName) {
    return complain(
      file,
      `!function ${found.function} is a Python function, which Hila does not run`,
      keys.join("."),
    )
  }
  const problem = message.replaceAll(/\s*\n\s*/g, " ") + got
  return complain(file, problem, keys.length === 0 ? undefined : keys.join("."))
}

/** Keys of the harness's that ask for what is not run here. */
const foreign: Readonly<Record<string, string>> = {
  doc_to_image: "images are not given to models here; only tasks of texts are run",
  doc_to_audio: "sounds are not given to models here; only tasks of texts are run",
  doc_to_video: "videos are not given to models here; only tasks of texts are run",
  class: "is a Python class, which Hila does not run; a task has to be written out in YAML",
  use_prompt:
    "prompts of the library promptsource are not read here; write doc_to_text and doc_to_target out",
}

const isRecord = (value: unknown): value is Raw =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The content of a file, as it is written. */
export type Raw = Readonly<Record<string, unknown>>

/** What content is about: its name, and whether it is a group's; nothing where it only is included by others. */
export const subjectOf = (
  raw: Raw,
): { readonly _tag: "Task" | "Group"; readonly name: string } | undefined => {
  const { group, task } = raw
  if (group !== undefined && !("class" in raw)) return { _tag: "Group", name: python(group) }
  return typeof task === "string" ? { _tag: "Task", name: task } : undefined
}

const refuseForeign = (file: string, raw: Raw) => {
  const key = Object.keys(foreign).find((name) => raw[name] !== undefined && raw[name] !== null)
  if (key === undefined) return Effect.void
  const value = raw[key]
  const what = value instanceof FunctionName ? `!function ${value.function} ` : ""
  return Effect.fail(complain(file, `${key === "class" ? what : ""}${foreign[key]}`, key))
}

/** Checks the content of a task. */
export const decodeTask = Effect.fnUntraced(function* (
  raw: Raw,
  file: string,
): Effect.fn.Return<TaskConfig, TaskError> {
  yield* refuseForeign(file, raw)
  if (raw["task"] === undefined) {
    return yield* complain(file, "has neither task: nor group:, so that it can only be included by others")
  }
  // A tag and the group a task was once listed under say nothing of the task itself.
  const { group: _group, metadata, ...own } = raw
  yield* requireKnown(file, own, Object.keys(taskFields))
  if (isRecord(own["fewshot_config"])) {
    yield* requireKnown(file, own["fewshot_config"], Object.keys(fewshotFields), "fewshot_config.")
  }
  const noted = metadata === undefined || metadata === null || isRecord(metadata) ? metadata : { metadata }
  const given = noted === undefined ? own : { ...own, metadata: noted }
  return yield* Effect.mapError(Schema.decodeUnknownEffect(TaskConfig)(given), (cause) =>
    problemOf(file, given, cause),
  )
})

/** Checks the content of a group; what it says of its tasks is `overrides`. */
export const decodeGroup = Effect.fnUntraced(function* (
  raw: Raw,
  file: string,
): Effect.fn.Return<{ readonly config: GroupConfig; readonly overrides: Raw }, TaskError> {
  yield* refuseForeign(file, raw)
  yield* requireKnown(file, raw, [...groupKeys, ...Object.keys(taskFields)])
  const own = Object.fromEntries(Object.entries(raw).filter(([key]) => groupKeys.includes(key)))
  const { aggregate_metric_list: metrics, task = [] } = own
  const given = {
    ...own,
    task: [task].flat(),
    ...(isRecord(metrics) ? { aggregate_metric_list: [metrics] } : {}),
  }
  const config = yield* Effect.mapError(Schema.decodeUnknownEffect(GroupConfig)(given), (cause) =>
    problemOf(file, given, cause),
  )
  // A tag of the group is not one of its tasks'.
  const overrides = Object.entries(raw).filter(([key]) => !groupKeys.includes(key) && key !== "tag")
  return { config, overrides: Object.fromEntries(overrides) }
})
