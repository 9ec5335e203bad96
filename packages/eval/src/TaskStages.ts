/**
 * Tasks as pipeline stages: a task's items, a model's scores on them, and the table of several.
 *
 * Items are a stage of their own, so that a changed task file or data file that leaves a task's items as they were
 * leaves its scores alone too; scores are a node per task, so that adding a task evaluates only that task.
 */
import { Artifact, Source, Stage } from "@hila/core"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { basename } from "node:path"
import * as Sandbox from "./code/Sandbox.ts"
import { EvalError } from "./EvalError.ts"
import * as Evaluation from "./Evaluation.ts"
import * as PythonJson from "./internal/pythonJson.ts"
import * as Answering from "./requests/Answering.ts"
import * as Journal from "./requests/Journal.ts"
import * as Report from "./results/Report.ts"
import * as Catalog from "./tasks/Catalog.ts"
import * as Task from "./tasks/Task.ts"
import { TaskConfig } from "./tasks/TaskConfig.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const Texts = Schema.Array(Schema.String)

const Request = Schema.Union([
  Schema.TaggedStruct("LogLikelihood", { context: Schema.String, continuation: Schema.String }),
  Schema.TaggedStruct("Rolling", { text: Schema.String }),
  Schema.TaggedStruct("Generate", {
    context: Schema.String,
    generation: Schema.Struct({
      until: Texts,
      maxTokens: Schema.Int,
      drawing: Schema.optionalKey(
        Schema.Struct({
          temperature: Schema.optionalKey(Schema.Finite),
          topK: Schema.optionalKey(Schema.Int),
          topP: Schema.optionalKey(Schema.Finite),
          minP: Schema.optionalKey(Schema.Finite),
          repetitionPenalty: Schema.optionalKey(Schema.Finite),
          seed: Schema.optionalKey(Schema.Int),
        }),
      ),
    }),
    sample: Schema.optionalKey(Schema.Int),
  }),
])

const Gold = Schema.Union([Schema.Finite, Schema.String, Schema.Boolean])

const Item = Schema.Struct({
  id: Schema.Int,
  row: Schema.Record(Schema.String, Schema.Json),
  target: Schema.Union([Gold, Schema.Array(Gold)]),
  choices: Texts,
  golds: Schema.Array(Schema.Int),
  preface: Schema.Int,
  requests: Schema.Array(Request),
})

/** A task with its items. */
export const TaskItems = Schema.Struct({
  /** The task's settings, without the comments of its file. */
  config: Schema.fromJsonString(TaskConfig),
  numFewshot: Schema.Int,
  source: Schema.String,
  /** Documents of the split, of which `items` are asked. */
  documents: Schema.Int,
  items: Schema.Array(Item),
})
export type TaskItems = typeof TaskItems.Type

/** Items in the store. */
export const itemsArtifact: Artifact.Artifact<TaskItems> = Artifact.json("task-items", TaskItems, {
  summary: ({ config, items, source }) => `${items.length} items of ${config.task}, ${source}`,
})

const Value = Schema.Union([
  Schema.Finite,
  Schema.Tuple([Schema.Finite, Schema.Finite]),
  Schema.Tuple([Schema.Finite, Schema.Array(Schema.Finite)]),
])

/** A model's scores on a task, with every document's values. */
export const TaskScores = Schema.Struct({
  task: Schema.String,
  numFewshot: Schema.Int,
  asked: Schema.Int,
  scores: Schema.Array(
    Schema.Struct({
      metric: Schema.String,
      filter: Schema.String,
      value: Schema.Finite,
      standardError: Schema.Union([Schema.Finite, Schema.Literal("N/A")]),
      higherIsBetter: Schema.Boolean,
    }),
  ),
  values: Schema.Array(
    Schema.Struct({ id: Schema.Int, filter: Schema.String, values: Schema.Record(Schema.String, Value) }),
  ),
})
export type TaskScores = typeof TaskScores.Type

const shown = ({ metric, standardError, value }: TaskScores["scores"][number]): string =>
  `${metric} ${value.toFixed(4)}${standardError === "N/A" ? "" : ` ± ${standardError.toFixed(4)}`}`

/** Scores in the store. */
export const scoresArtifact: Artifact.Artifact<TaskScores> = Artifact.json("task-scores", TaskScores, {
  summary: ({ asked, scores, task }) => `${task} (${asked}): ${scores.map(shown).join(", ")}`,
})

/** Scores of several tasks. */
export const TaskTable = Schema.Struct({ tasks: Schema.Array(TaskScores) })
export type TaskTable = typeof TaskTable.Type

/** The table in the store; `hila run` prints it. */
export const tableArtifact: Artifact.Artifact<TaskTable> = Artifact.json("task-table", TaskTable, {
  summary: ({ tasks }) => `${tasks.length} tasks`,
  show: ({ tasks }) =>
    Report.lines(
      ["task", "filter", "n-shot", "n", "metric", "", "value", "±"],
      tasks.flatMap(({ asked, numFewshot, scores, task }) =>
        scores.map((score) => [
          task,
          score.filter,
          String(numFewshot),
          String(asked),
          score.metric,
          score.higherIsBetter ? "↑" : "↓",
          score.value.toFixed(4),
          score.standardError === "N/A" ? "N/A" : score.standardError.toFixed(4),
        ]),
      ),
      "table",
    ),
})

/** A directory of files in the store. */
export const filesArtifact = Artifact.directory("files")

/** A directory of task files, or of data. */
export const files = (path: string | URL) => Source.directory(path, filesArtifact)

/** Hila's own task files. */
export const builtInTasks = files(Catalog.builtIn)

/**
 * The items of one task: `tasks` is a directory of task files, of which the one called `<task>.yaml` is read; `data` are
 * directories whose files go by their names, as in the task's file.
 */
export const taskItems = Stage.make({
  name: "task-items",
  version: 4,
  inputs: { tasks: filesArtifact, data: Stage.each(filesArtifact) },
  params: {
    task: Schema.String,
    limit: Schema.optionalKey(Schema.Finite),
    sample: Schema.optionalKey(Positive),
    seed: Schema.optionalKey(Schema.Int),
    numFewshot: Schema.optionalKey(Count),
  },
  output: itemsArtifact,
  run: Effect.fn(function* ({ data, tasks }, { numFewshot, task: name, ...options }) {
    const file = Object.keys(tasks.files).find((path) => basename(path).replace(/\.ya?ml$/, "") === name)
    if (file === undefined) {
      return yield* new EvalError({
        subject: "task items",
        problem: `there is no ${name}.yaml among the tasks`,
      })
    }
    const place = (path: string) => tasks.files[path.slice(1)] ?? path
    const entry = yield* Catalog.load(`/${file}`, place)
    if (entry._tag === "Group") {
      return yield* new EvalError({
        subject: "task items",
        problem: `${name} is a group; name one of its tasks`,
      })
    }
    // Making the items of a task of programs runs none of them.
    const shots = { allowCode: true, ...(numFewshot === undefined ? {} : { numFewshot }) }
    const task = yield* Task.make(file, entry.config, shots)
    const known = Object.assign({}, ...data.map((directory) => directory.files)) as Readonly<
      Record<string, string>
    >
    const { documents, items, source } = yield* Evaluation.prepare(task, { ...options, files: known })
    return {
      config: entry.config,
      numFewshot: task.numFewshot,
      source,
      documents,
      // A store keeps JSON, in which a float is a number.
      items: items.map((item) => ({ ...item, row: PythonJson.plain(item.row) })),
    }
  }),
})

const Answer = Schema.Union([Schema.Tuple([Schema.Finite, Schema.Boolean]), Schema.Finite, Schema.String])

/** Items that are answered, and checkpointed, together. */
const chunkSize = 64

/**
 * A model's scores on a task's items; checkpointed chunk by chunk. A task of programs is refused unless `allowCode` is
 * true, and then runs them in the sandbox.
 */
export const taskScores = Stage.make({
  name: "task-scores",
  version: 4,
  inputs: { model: Checkpoint.artifact, items: itemsArtifact },
  params: {
    replicates: Schema.optionalKey(Count),
    maxLength: Schema.optionalKey(Positive),
    allowCode: Schema.optionalKey(Schema.Boolean),
  },
  output: scoresArtifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ items: given, model: checkpoint }, options) {
    const { allowCode = false, maxLength, replicates } = options
    const { config, items, numFewshot } = given
    const task = yield* Task.make(config.task, config, { numFewshot, allowCode })
    // The sandbox shows that it holds before the model is asked anything.
    const sandbox = task.programs === undefined ? undefined : yield* Sandbox.make
    const model = yield* CausalModel.open(checkpoint)
    const respondent = yield* Answering.respondent(model, "", maxLength === undefined ? {} : { maxLength })
    const starts = Array.from({ length: Math.ceil(items.length / chunkSize) }, (_, i) => i * chunkSize)
    const answers = yield* Stage.forEach(
      starts,
      (start) => {
        const requests = items.slice(start, start + chunkSize).flatMap((item) => item.requests)
        return Answering.answer(respondent, requests, Journal.memory())
      },
      { part: (start) => `items-${start}`, output: Artifact.json("answers", Schema.Array(Answer)) },
    )
    const perItem = Evaluation.perItem(items, answers.flat())
    const passed = yield* Evaluation.verdicts(task, items, perItem, sandbox)
    const { samples, scores } = Evaluation.score(task, items, perItem, replicates, passed)
    return {
      task: config.task,
      numFewshot,
      asked: items.length,
      scores,
      values: samples.map(({ filter, item, values }) => ({ id: item.id, filter, values })),
    }
  }, Effect.scoped),
})

/** The table of several tasks' scores. */
export const taskTable = Stage.make({
  name: "task-table",
  version: 1,
  inputs: { scores: Stage.each(scoresArtifact) },
  output: tableArtifact,
  run: ({ scores }) => Effect.succeed({ tasks: scores }),
})
