/**
 * Task and group files as data: the schema of lm-evaluation-harness's YAML, with its defaults.
 *
 * A file is read as it is. Unknown keys are errors, since a misspelt `num_fewshot` would change a score in silence.
 * Nothing is rendered and no data are read here.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { TaskError } from "../EvalError.ts"
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

const Text = Schema.NullOr(Schema.String)
const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const optional = Schema.optionalKey
const Arguments = Schema.Record(Schema.String, Schema.Unknown)

/** What a task asks of a model. */
export const OutputType = Schema.Literals([
  "multiple_choice",
  "loglikelihood",
  "loglikelihood_rolling",
  "generate_until",
])
export type OutputType = typeof OutputType.Type

const FilterStep = Schema.StructWithRest(Schema.Struct({ function: Schema.String }), [Arguments])
const Filter = Schema.Struct({ name: Schema.String, filter: Schema.Array(FilterStep) })
export type Filter = typeof Filter.Type

const MetricEntry = Schema.StructWithRest(
  Schema.Struct({
    metric: Schema.Union([Schema.String, FunctionName]),
    aggregation: optional(Schema.Union([Schema.String, FunctionName])),
    higher_is_better: optional(Schema.Boolean),
  }),
  [Arguments],
)
export type MetricEntry = typeof MetricEntry.Type

const fewshotFields = {
  sampler: optional(Schema.String),
  split: optional(Text),
  samples: optional(Schema.Array(Arguments)),
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
  unsafe_code: optional(Schema.Boolean),
  should_decontaminate: optional(Schema.Boolean),
  doc_to_decontamination_query: optional(Text),
  metadata: optional(Schema.NullOr(Arguments)),
}

/** A task's file. */
export const TaskConfig = Schema.Struct(taskFields)
export type TaskConfig = typeof TaskConfig.Type

const AggregateMetric = Schema.Struct({
  metric: Schema.String,
  aggregation: optional(Schema.Literal("mean")),
  weight_by_size: optional(Schema.Boolean),
  filter_list: optional(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
})
export type AggregateMetric = typeof AggregateMetric.Type

/** A group's file: tasks and groups by name, and what is summed up over them. */
export const GroupConfig = Schema.Struct({
  group: Schema.String,
  group_alias: optional(Text),
  task: Schema.Array(Schema.String),
  aggregate_metric_list: optional(Schema.NullOr(Schema.Array(AggregateMetric))),
  metadata: optional(Schema.NullOr(Arguments)),
})
export type GroupConfig = typeof GroupConfig.Type

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
  const problem = message.replaceAll(/\s*\n\s*/g, " ") + got
  return complain(file, problem, keys.length === 0 ? undefined : keys.join("."))
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Checks the content of a file: a task, or a group of them. */
export const decode = Effect.fnUntraced(function* (
  raw: unknown,
  file: string,
): Effect.fn.Return<
  | { readonly _tag: "Task"; readonly config: TaskConfig }
  | { readonly _tag: "Group"; readonly config: GroupConfig },
  TaskError
> {
  if (!isRecord(raw))
    return yield* complain(file, "expected the keys of a task, such as task: and dataset_path:")
  if ("group" in raw && Array.isArray(raw["task"])) {
    yield* requireKnown(file, raw, Object.keys(GroupConfig.fields))
    const config = yield* Effect.mapError(Schema.decodeUnknownEffect(GroupConfig)(raw), (cause) =>
      problemOf(file, raw, cause),
    )
    return { _tag: "Group", config }
  }
  yield* requireKnown(file, raw, Object.keys(taskFields))
  if (isRecord(raw["fewshot_config"])) {
    yield* requireKnown(file, raw["fewshot_config"], Object.keys(fewshotFields), "fewshot_config.")
  }
  const config = yield* Effect.mapError(Schema.decodeUnknownEffect(TaskConfig)(raw), (cause) =>
    problemOf(file, raw, cause),
  )
  return { _tag: "Task", config }
})
