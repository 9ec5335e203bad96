/**
 * The tasks there are: those that come with Hila, those of further directories, and single files by their path.
 *
 * A name stands for a task, for a group of tasks, or for a tag that several tasks bear. Files are read when a name is
 * asked for, so that one broken file in a directory does not stop the others.
 */
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { TaskError } from "../EvalError.ts"
import { nearest } from "../internal/suggestion.ts"
import * as TaskConfig from "./TaskConfig.ts"
import * as TaskFile from "./TaskFile.ts"

/** A task's file with its content. */
export interface TaskEntry {
  readonly _tag: "Task"
  readonly name: string
  readonly file: string
  readonly config: TaskConfig.TaskConfig
}

/** A group's file with its content. */
export interface GroupEntry {
  readonly _tag: "Group"
  readonly name: string
  readonly file: string
  readonly config: TaskConfig.GroupConfig
}

export type Entry = TaskEntry | GroupEntry

/** What names were resolved to: every task once, and the groups asked for with everything below them. */
export interface Selection {
  readonly tasks: ReadonlyArray<TaskEntry>
  readonly groups: ReadonlyArray<GroupEntry>
}

/** Where Hila's own tasks lie, in the sources as in the package. */
export const builtIn = fileURLToPath(new URL("../../tasks/", import.meta.url))

/** Data sets that are asked for by name and have no public source. */
const unavailable: Readonly<Record<string, string>> = {
  "ii-finance":
    "II-Finance, which HILA's authors used, has no public source that we know of; financeqa, tatqa and financial_tweets are the finance tasks",
}

/** The entry of one file. */
export const load = Effect.fn("Catalog.load")(function* (
  file: string,
  place?: TaskFile.Place,
): Effect.fn.Return<Entry, TaskError> {
  const decoded = yield* TaskConfig.decode(yield* TaskFile.read(file, place), file)
  return decoded._tag === "Task"
    ? { _tag: "Task", name: decoded.config.task, file, config: decoded.config }
    : { _tag: "Group", name: decoded.config.group, file, config: decoded.config }
})

/** Hila's own files that were read: they stay as they are while a process runs, and reading them all takes a while. */
const kept = new Map<string, Entry>()

const loadOnce = Effect.fnUntraced(function* (file: string) {
  const known = kept.get(file)
  if (known !== undefined) return known
  const entry = yield* load(file)
  if (file.startsWith(builtIn)) kept.set(file, entry)
  return entry
})

/** Every task file below the directories; names that begin with _ are only included by others. */
const filesBelow = Effect.fnUntraced(function* (directories: ReadonlyArray<string>) {
  const lists = yield* Effect.forEach(directories, (directory) =>
    Effect.tryPromise({
      try: async () =>
        (await readdir(directory, { recursive: true }))
          .filter((name) => /(^|\/)[^_/][^/]*\.ya?ml$/.test(name))
          .toSorted()
          .map((name) => join(directory, name)),
      catch: () => new TaskError({ file: directory, problem: "is no directory of task files" }),
    }),
  )
  return lists.flat()
})

/** What lies in directories: entries by name, and what is wrong with files that hold none. */
export interface Everything {
  readonly entries: ReadonlyMap<string, Entry>
  readonly problems: ReadonlyArray<TaskError>
}

/**
 * All entries of Hila's own tasks and of further directories; a later directory's task takes an earlier one's name. A
 * file that cannot be used is a problem beside the others.
 */
export const everything = Effect.fn("Catalog.everything")(function* (
  directories: ReadonlyArray<string> = [],
): Effect.fn.Return<Everything, TaskError> {
  const files = yield* filesBelow([builtIn, ...directories])
  const [entries, problems] = yield* Effect.partition(files, loadOnce, { concurrency: 8 })
  return { entries: new Map(entries.map((entry) => [entry.name, entry])), problems }
})

/** All of Hila's own tasks and groups. */
export const all = Effect.fn("Catalog.all")(function* () {
  const { entries, problems } = yield* everything()
  return problems[0] === undefined ? entries : yield* problems[0]
})

/**
 * Finds entries by name. A file called like the task is read first; only where there is none, all files are, and broken
 * ones among them matter only where the name is not found.
 */
const finder = Effect.fnUntraced(function* (directories: ReadonlyArray<string>, own: ReadonlyArray<Entry>) {
  const known = new Map(own.map((entry) => [entry.name, entry]))
  const files = yield* Effect.cached(filesBelow([builtIn, ...directories]))
  const whole = yield* Effect.cached(everything(directories))
  return Effect.fnUntraced(function* (name: string) {
    const found = known.get(name)
    if (found !== undefined) return { found, known, problems: [] }
    const file = (yield* files).findLast((path) => basename(path).replace(/\.ya?ml$/, "") === name)
    const entry = file === undefined ? undefined : yield* loadOnce(file)
    if (entry?.name === name) {
      known.set(name, entry)
      return { found: entry, known, problems: [] }
    }
    const { entries, problems } = yield* whole
    for (const [other, loaded] of entries) if (!known.has(other)) known.set(other, loaded)
    return { found: known.get(name), known, problems }
  })
})

/** The entry of a file called like a member, beside the group's own file. */
const beside = Effect.fnUntraced(function* (name: string, asker: string) {
  const paths = ["yaml", "yml"].map((extension) => join(dirname(asker), `${name}.${extension}`))
  const path = paths.find((candidate) => existsSync(candidate))
  const entry = path === undefined ? undefined : yield* load(path)
  return entry?.name === name ? entry : undefined
})

const tagsOf = ({ config }: TaskEntry): ReadonlyArray<string> => {
  const tag = config.tag ?? []
  return typeof tag === "string" ? [tag] : tag
}

/** A name without its case and separators: TAT-QA is tatqa, humaneval-xl is humaneval_xl. */
const letters = (name: string): string => name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "")

/** Resolves names of tasks, groups and tags, and paths of task files. */
export const select = Effect.fn("Catalog.select")(function* (
  names: ReadonlyArray<string>,
  directories: ReadonlyArray<string> = [],
): Effect.fn.Return<Selection, TaskError> {
  const paths = names.filter((name) => /\.ya?ml$/.test(name))
  const loaded = yield* Effect.forEach(paths, (path) => load(path))
  const again = loaded.findIndex(({ name }, i) => loaded.findIndex((other) => other.name === name) !== i)
  if (again >= 0) {
    const { file, name } = loaded[again]!
    const other = loaded.find((entry) => entry.name === name)?.file
    if (other !== file) {
      const problem = `${name} is also the name of what ${other} holds; give one of them another name`
      return yield* new TaskError({ file, key: "task", problem })
    }
  }
  const find = yield* finder(directories, loaded)
  const byPath = new Map(paths.map((path, i) => [path, loaded[i]?.name ?? path]))
  const tasks = new Map<string, TaskEntry>()
  const groups = new Map<string, GroupEntry>()
  const add = Effect.fnUntraced(function* (
    name: string,
    asker: string,
    above: ReadonlyArray<string>,
  ): Effect.fn.Return<void, TaskError> {
    // What lies beside a group's file that was given by its path is meant before others of that name.
    const near = paths.includes(asker) ? yield* beside(name, asker) : undefined
    const {
      found: entry,
      known,
      problems,
    } = near === undefined
      ? yield* find(name)
      : { found: near, known: new Map<string, Entry>(), problems: [] }
    if (entry?._tag === "Task") return void tasks.set(name, entry)
    if (entry !== undefined) {
      if (above.includes(name)) {
        return yield* new TaskError({
          file: entry.file,
          key: "task",
          problem: `goes in a circle through ${name}`,
        })
      }
      groups.set(name, entry)
      for (const member of entry.config.task) yield* add(member, entry.file, [...above, name])
      return
    }
    const tagged = [...known.values()].filter(
      (other): other is TaskEntry => other._tag === "Task" && tagsOf(other).includes(name),
    )
    for (const task of tagged) tasks.set(task.name, task)
    if (tagged.length > 0) return
    const same = [...known.keys()].filter((other) => letters(other) === letters(name))
    if (same.length === 1 && same[0] !== undefined && same[0] !== name) {
      return yield* add(same[0], asker, above)
    }
    // A file that is broken may be the one that is meant.
    const [broken] = problems
    if (broken !== undefined) return yield* broken
    const similar = nearest(name, [...known.keys()])
    return yield* new TaskError({
      file: asker,
      problem:
        unavailable[name.toLowerCase().replaceAll("_", "-")] ??
        `there is no task ${name}${similar === undefined ? "; see `hila tasks list`, or name a directory of your own with --include" : `; did you mean ${similar}?`}`,
    })
  })
  for (const name of names) yield* add(byPath.get(name) ?? name, "tasks", [])
  return { tasks: [...tasks.values()], groups: [...groups.values()] }
})
