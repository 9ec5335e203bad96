/**
 * A scoreboard: models against evaluation tasks, each score with its paired difference to one model.
 *
 * A group of tasks is one column, all its items together, as the harness weighs groups by size. A task is judged by the
 * first metric of its file, under its first filter.
 */
import { Artifact, type Node, PipelineError, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Catalog, Paired, Stages as Evaluation } from "@hila/eval"
import type { Runtime } from "@hila/model"
import { Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Model } from "./Tuned.ts"

const Cell = Schema.Struct({
  /** Mean over items. */
  value: Schema.Finite,
  items: Schema.Int,
  metric: Schema.String,
  /** To the reference, with its 95 % interval. */
  difference: Schema.NullOr(
    Schema.Struct({ difference: Schema.Finite, low: Schema.Finite, high: Schema.Finite }),
  ),
})
type Cell = typeof Cell.Type

const Scoreboard = Schema.Struct({
  tasks: Schema.Array(Schema.String),
  reference: Schema.String,
  rows: Schema.Array(Schema.Struct({ model: Schema.String, cells: Schema.Array(Cell) })),
})

const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`

const shown = ({ difference, value }: Cell): string =>
  difference === null
    ? value.toFixed(3)
    : `${value.toFixed(3)} (${signed(difference.difference)} [${signed(difference.low)}, ${signed(difference.high)}])`

/** The scoreboard in the store; `hila run` prints it as a Markdown table. */
const artifact = Artifact.json("scoreboard", Scoreboard, {
  summary: ({ rows, tasks }) => `${rows.length} models on ${tasks.length} tasks`,
  show: ({ reference, rows, tasks }) => {
    const head = tasks.map((task, t) => {
      const cell = rows[0]?.cells[t]
      return `${task} ${cell?.metric}, n = ${cell?.items}`
    })
    return [
      ["", ...head],
      ["---", ...head.map(() => "--:")],
      ...rows.map(({ cells, model }) => [model, ...cells.map(shown)]),
    ]
      .map((line) => `| ${line.join(" | ")} |`)
      .concat(`\nIn brackets: against ${reference}, with 95 % intervals of the paired bootstrap over items.`)
      .join("\n")
  },
})

/** The values of the items of one model in one column. */
const valuesOf = (scores: ReadonlyArray<Evaluation.TaskScores>) => {
  const metric = at(at(scores, 0).scores, 0).metric
  const values = scores.flatMap(({ scores: own, values: items }) =>
    items.flatMap(({ filter, values: measured }) => {
      const value = filter === own[0]?.filter ? measured[metric] : undefined
      return typeof value === "number" ? [value] : []
    }),
  )
  return { metric, values }
}

/** All models on all tasks: `scores` model by model, in each the tasks in the order of `tasks`. */
const scoreboard = Stage.make({
  name: "scoreboard",
  version: 1,
  inputs: { scores: Stage.each(Evaluation.scoresArtifact) },
  params: {
    models: Schema.Array(Schema.String),
    /** Columns, with how many tasks each has. */
    tasks: Schema.Array(Schema.Struct({ name: Schema.String, members: Schema.Int })),
    reference: Schema.String,
  },
  output: artifact,
  run: ({ scores }, { models, reference, tasks }) => {
    const columns = tasks.reduce((sum, { members }) => sum + members, 0)
    const all = models.map((model, m) => {
      let start = m * columns
      return {
        model,
        found: tasks.map(({ members }) => {
          start += members
          return valuesOf(scores.slice(start - members, start))
        }),
      }
    })
    const other = all.find(({ model }) => model === reference)
    return Effect.succeed({
      tasks: tasks.map(({ name }) => name),
      reference,
      rows: all.map(({ found, model }) => ({
        model,
        cells: found.map(({ metric, values }, t): Cell => {
          const [value, against] = [Statistics.mean(values), other?.found[t]?.values]
          if (against === undefined || model === reference)
            return { value, items: values.length, metric, difference: null }
          const { difference, high, low } = Paired.bootstrapMeans([{ first: values, second: against }])
          return { value, items: values.length, metric, difference: { difference, low, high } }
        }),
      })),
    })
  },
})

/** Every task that comes with Hila, read once when a pipeline that asks for some is loaded. */
const catalog = await Effect.runPromise(Catalog.all())

const refuse = (problem: string): never => {
  throw new PipelineError({ pipeline: "tasks", problem })
}

const membersOf = (name: string): ReadonlyArray<Catalog.TaskEntry> => {
  const entry = catalog.get(name)
  if (entry === undefined) return refuse(`there is no task ${name}; see \`hila tasks list\``)
  if (entry._tag === "Task") return [entry]
  return entry.config.task.flatMap((member) =>
    typeof member === "string" ? membersOf(member) : refuse(`${name} holds a task without a file of its own`),
  )
}

export interface Asking {
  /** Names of tasks and groups. */
  readonly tasks: ReadonlyArray<string>
  /** A directory with local copies of their data; the Hub is asked for what is not in it. */
  readonly data: string
  /** The first so many documents of each task; 0: all. */
  readonly limit: number
  /** Whether programs that models write may be run, in the sandbox. */
  readonly allowCode: boolean
}

/** Models, by the names of their rows, on tasks; differences are to the model called `reference`. */
export const scored = (
  models: Readonly<Record<string, Model>>,
  { allowCode, data, limit, tasks }: Asking,
  reference: string,
) => {
  const asked = tasks.map((name) => ({ name, members: membersOf(name) }))
  const program = asked.find(({ members }) => members.some(({ config }) => config.unsafe_code === true))
  if (program !== undefined && !allowCode) {
    return refuse(
      `${program.name} runs programs that the models write; --set allowCode=true lets them run in the sandbox, or leave ${program.name} out of tasks`,
    )
  }
  const files = data === "" ? [] : [Evaluation.files(data)]
  const items = asked.flatMap(({ members }) =>
    members.map(({ name }) => {
      const options = { task: name, ...(limit > 0 ? { limit } : {}) }
      return {
        name,
        items: Evaluation.taskItems({ tasks: Evaluation.builtInTasks, data: files }, options, name),
      }
    }),
  )
  const scores: ReadonlyArray<Node.Node<Evaluation.TaskScores, unknown, Runtime, Runtime>> = Object.entries(
    models,
  ).flatMap(([row, model]) =>
    items.map(({ items: own, name }) =>
      Evaluation.taskScores({ model, items: own }, { allowCode, replicates: 0 }, `${row}, ${name}`),
    ),
  )
  return scoreboard(
    { scores },
    {
      models: Object.keys(models),
      tasks: asked.map(({ members, name }) => ({ name, members: members.length })),
      reference,
    },
  )
}
