/** What `hila eval` and `hila tasks` do; loaded when one of them is called. */
import { atOr } from "@hila/core/Lookup"
import { Catalog, Compare, Evaluation, Report, Suite, Task } from "@hila/eval"
import { CausalModel, Runtime } from "@hila/model"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { statSync } from "node:fs"
import { UsageError } from "./CliError.ts"
import * as Models from "./Models.ts"
import * as Progress from "./Progress.ts"

/** A property under its name, unless it is undefined. */
const given = <K extends string, A>(key: K, value: A | undefined): { readonly [k in K]?: A } =>
  (value === undefined ? {} : { [key]: value }) as { readonly [k in K]?: A }

interface EvaluateFlags {
  readonly model: string
  readonly tasks: string
  readonly include: ReadonlyArray<string>
  readonly data: string | undefined
  readonly limit: number | undefined
  readonly sample: number | undefined
  readonly seed: number | undefined
  readonly numFewshot: number | undefined
  readonly maxLength: number | undefined
  readonly bootstrap: number | undefined
  readonly allowCode: boolean
  readonly chat: boolean
  readonly multiturn: boolean
  readonly system: string | undefined
  readonly against: ReadonlyArray<string>
  readonly output: string
  readonly format: Report.Format
  readonly json: boolean
}

/** Events as lines, and progress between them. */
const display = (json: boolean) => {
  const { stdout } = process
  const progress = Progress.of()
  return (event: Suite.Event) =>
    Effect.sync(() => {
      if (json) {
        const { result, ...rest } = event._tag === "Finished" ? event : { ...event, result: undefined }
        stdout.write(
          `${JSON.stringify(result === undefined ? rest : { ...rest, task: result.task.name, scores: result.scores })}\n`,
        )
        return
      }
      if (event._tag === "Planned") {
        const sum = (of: "documents" | "requests") => event.tasks.reduce((total, task) => total + task[of], 0)
        const counted = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`
        stdout.write(
          `${counted(event.tasks.length, "task")}, ${counted(sum("documents"), "document")}, ${counted(sum("requests"), "request")}\n`,
        )
      }
      if (event._tag === "Progress") {
        const kept = event.kept === 0 ? "" : `, ${event.kept} kept from an earlier run`
        if (!stdout.isTTY && event.done === event.kept && event.kept > 0)
          stdout.write(`  ${event.task}  ${event.kept} of ${event.total} requests kept from an earlier run\n`)
        else progress.say(`${event.task}  ${event.done}/${event.total}${kept}`)
      }
      if (event._tag === "Finished") {
        const { asked, samples, scores, source, task } = event.result
        const [first] = scores
        const score = first === undefined ? "" : `, ${first.metric} ${first.value.toFixed(4)}`
        progress.clear()
        stdout.write(`  ${task.name}: ${asked} documents of ${source}${score}\n`)
        if (samples.some(({ item }) => item.withoutSystem === true))
          stdout.write(`  ${task.name}: asked without its system turn, which the chat template refuses\n`)
      }
    })
}

const names = (list: string): ReadonlyArray<string> =>
  list
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")

/** A misspelt data directory would send every task to the Hub. */
const requireDirectory = Effect.fnUntraced(function* (directory: string | undefined) {
  if (directory === undefined || statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true)
    return
  return yield* new UsageError({ problem: `--data ${directory}: there is no such directory` })
})

/** `hila eval`. */
export const evaluate = Effect.fnUntraced(
  function* (flags: EvaluateFlags) {
    if (names(flags.tasks).length === 0)
      return yield* new UsageError({ problem: "--tasks: name at least one task" })
    if (flags.multiturn && !flags.chat)
      return yield* new UsageError({
        problem: "--multiturn: examples are turns of a conversation: add --chat",
      })
    yield* requireDirectory(flags.data)
    if (flags.seed !== undefined && flags.sample === undefined)
      return yield* new UsageError({ problem: "--seed: draws documents for --sample; add --sample n" })
    const selection = yield* Catalog.select(names(flags.tasks), flags.include)
    const checkpoint = yield* Models.opened(flags.model)
    const model = yield* CausalModel.open(checkpoint)
    const { path, results } = yield* Suite.run(
      model,
      flags.model,
      selection,
      {
        output: flags.output,
        allowCode: flags.allowCode,
        chat: flags.chat,
        multiturn: flags.multiturn,
        ...given("system", flags.system),
        against: flags.against,
        ...given("data", flags.data),
        ...given("limit", flags.limit),
        ...given("sample", flags.sample),
        ...given("seed", flags.seed),
        ...given("numFewshot", flags.numFewshot),
        ...given("maxLength", flags.maxLength),
        ...given("replicates", flags.bootstrap),
      },
      display(flags.json),
    )
    yield* Console.log(
      flags.json
        ? JSON.stringify({ _tag: "Results", path, ...results })
        : `\n${Report.render(results, flags.format)}\n\n${path}`,
    )
  },
  Effect.scoped,
  Effect.provide(Runtime.layer),
)

/** `hila eval compare`. */
export const compare = Effect.fnUntraced(function* (flags: {
  readonly first: string
  readonly second: string
  readonly format: Report.Format
  readonly json: boolean
}) {
  const compared = yield* Compare.files(flags.first, flags.second)
  yield* Console.log(flags.json ? JSON.stringify(compared) : Compare.render(compared, flags.format))
})

const noteOf = ({ config }: Catalog.Entry): string => {
  const note = config.metadata?.["note"]
  return typeof note === "string" ? note : ""
}

const kindOf = (entry: Catalog.Entry): string => {
  if (entry._tag === "Group") return "group"
  return Task.runsCode(entry.config) ? "runs code" : (entry.config.output_type ?? "generate_until")
}

/** `hila tasks list`. */
export const listTasks = Effect.fnUntraced(function* (flags: {
  readonly include: ReadonlyArray<string>
  readonly json: boolean
}) {
  const everything = yield* Catalog.everything(flags.include)
  const entries = [...everything.entries.values()].toSorted((a, b) => a.name.localeCompare(b.name))
  // Broken files of one's own are said beside the tasks, and do not hide them.
  for (const { message } of everything.problems) yield* Console.error(`hila: ${message}`)
  if (flags.json) {
    const lines = entries.map((entry) => ({
      name: entry.name,
      kind: kindOf(entry),
      file: entry.file,
      note: noteOf(entry),
    }))
    return yield* Console.log(JSON.stringify(lines))
  }
  const rows = entries.map((entry) => [entry.name, kindOf(entry).padEnd(21), noteOf(entry)])
  yield* Console.log(
    rows
      .map(([name = "", kind = "", note = ""]) => `${name.padEnd(40)} ${kind} ${note}`.trimEnd())
      .join("\n"),
  )
})

/** `hila tasks show`. */
export const showTask = Effect.fnUntraced(function* (flags: {
  readonly task: string
  readonly include: ReadonlyArray<string>
  readonly data: string | undefined
  readonly json: boolean
}) {
  yield* requireDirectory(flags.data)
  const { groups, tasks } = yield* Catalog.select([flags.task], flags.include)
  const entries: ReadonlyArray<Catalog.Entry> = groups.length > 0 ? groups : tasks
  const first = tasks[0]
  const settings = entries.map(({ config, file }) => ({ file, config }))
  if (flags.json) yield* Console.log(JSON.stringify(settings))
  for (const { config, file } of flags.json ? [] : settings) {
    const shown = Object.entries(config).map(([key, value]) => [
      key,
      typeof value === "string" ? JSON.stringify(value).slice(1, -1) : JSON.stringify(value),
    ])
    yield* Console.log(
      `${file}\n${shown.map(([key = "", value = ""]) => `  ${key.padEnd(20)} ${value}`).join("\n")}`,
    )
  }
  // As eval would say: nothing is run of a selection with a task that cannot be.
  const tried = yield* Effect.forEach(tasks, ({ config, file }) =>
    Effect.result(Task.make(file, config, { allowCode: true })),
  )
  const problems = tried.flatMap((result) => (Result.isFailure(result) ? [result.failure] : []))
  for (const { message } of problems.slice(1)) yield* Console.error(`hila: ${message}`)
  if (problems[0] !== undefined) return yield* problems[0]
  if (first === undefined || flags.data === undefined || flags.json) return
  const task = yield* Task.make(first.file, first.config)
  const { documents, items, source } = yield* Evaluation.prepare(task, { data: flags.data, limit: 1 })
  yield* Console.log(`\n${first.name}: ${source}, ${documents} documents; the first is asked as`)
  let last = ""
  for (const request of atOr(items, 0, { requests: [] }).requests) {
    const context = request._tag === "Rolling" ? request.text : request.context
    if (context !== last) yield* Console.log(JSON.stringify(context))
    last = context
    if (request._tag === "LogLikelihood") yield* Console.log(`  → ${JSON.stringify(request.continuation)}`)
  }
})
