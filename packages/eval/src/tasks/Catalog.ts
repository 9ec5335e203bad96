/**
 * The tasks there are: those that come with Hila, those of further directories, and single files by their path.
 *
 * A name stands for a task, for a group of tasks, or for a tag that several tasks bear. Files are read when a name is
 * asked for, and only what is asked for is checked, so that a broken file in a directory does not stop the others.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { existsSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { TaskError } from "../EvalError.ts"
import { nearest } from "../internal/suggestion.ts"
import * as Members from "./Members.ts"
import * as TaskConfig from "./TaskConfig.ts"
import * as TaskFile from "./TaskFile.ts"

/** A task with its settings. */
export interface TaskEntry {
  readonly _tag: "Task"
  readonly name: string
  readonly file: string
  readonly config: TaskConfig.TaskConfig
}

/** A group with its settings, and the names of what was found for its members: tasks, and groups. */
export interface GroupEntry {
  readonly _tag: "Group"
  readonly name: string
  readonly file: string
  readonly config: TaskConfig.GroupConfig
  readonly members: ReadonlyArray<string>
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

/** The content of one file, with what it is about. */
const loadRaw = Effect.fnUntraced(function* (
  file: string,
  place?: TaskFile.Place,
): Effect.fn.Return<Members.Content, TaskError> {
  const raw = yield* TaskFile.read(file, place)
  const subject = TaskConfig.subjectOf(raw)
  if (subject !== undefined) return { ...subject, file, raw }
  // What is wrong with it is the same for a task.
  yield* TaskConfig.decodeTask(raw, file)
  return yield* new TaskError({ file, key: "task", problem: "expected a name" })
})

/** The entry of content by itself: a group's has no members yet. */
const entryOf = Effect.fnUntraced(function* ({
  _tag,
  file,
  name,
  raw,
}: Members.Content): Effect.fn.Return<Entry, TaskError> {
  if (_tag === "Task") return { _tag, name, file, config: yield* TaskConfig.decodeTask(raw, file) }
  return { _tag, name, file, config: (yield* TaskConfig.decodeGroup(raw, file)).config, members: [] }
})

/** The entry of one file. */
export const load = Effect.fn("Catalog.load")(function* (
  file: string,
  place?: TaskFile.Place,
): Effect.fn.Return<Entry, TaskError> {
  return yield* entryOf(yield* loadRaw(file, place))
})

/** Hila's own files that were read: they stay as they are while a process runs, and reading them all takes a while. */
const kept = new Map<string, Members.Content>()

const loadOnce = Effect.fnUntraced(function* (file: string) {
  const known = kept.get(file)
  if (known !== undefined) return known
  const content = yield* loadRaw(file)
  if (file.startsWith(builtIn)) kept.set(file, content)
  return content
})

/** Every task file below a directory. */
const filesBelow = (directory: string) =>
  Effect.tryPromise({
    try: async () =>
      (await readdir(directory, { recursive: true }))
        .filter((name) => /\.ya?ml$/.test(name))
        .toSorted()
        .map((name) => join(directory, name)),
    catch: () => new TaskError({ file: directory, problem: "is no directory of task files" }),
  })

/** Content of a directory by name, of two of one name the first; and what is wrong with files that cannot be read. */
interface Known {
  readonly contents: ReadonlyMap<string, Members.Content>
  readonly problems: ReadonlyArray<TaskError>
}

/** What lies below directories; a later directory's task takes an earlier one's name. */
const knownBelow = Effect.fnUntraced(function* (
  directories: ReadonlyArray<string>,
): Effect.fn.Return<Known, TaskError> {
  const contents = new Map<string, Members.Content>()
  const problems: Array<TaskError> = []
  for (const directory of directories) {
    const own = new Map<string, Members.Content>()
    const results = yield* Effect.forEach(
      yield* filesBelow(directory),
      (file) => Effect.map(Effect.result(loadOnce(file)), (result) => ({ file, result })),
      { concurrency: 8 },
    )
    for (const { file, result } of results) {
      if (Result.isSuccess(result)) {
        if (!own.has(result.success.name)) own.set(result.success.name, result.success)
      } else if (!basename(file).startsWith("_")) {
        // Files that begin with _ may be parts of others.
        problems.push(result.failure)
      }
    }
    for (const [name, content] of own) contents.set(name, content)
  }
  return { contents, problems }
})

/** What lies in directories: entries by name, and what is wrong with files that hold none. */
export interface Everything {
  readonly entries: ReadonlyMap<string, Entry>
  readonly problems: ReadonlyArray<TaskError>
}

/**
 * All entries of Hila's own tasks and of further directories. A file that cannot be used is a problem beside the others.
 */
export const everything = Effect.fn("Catalog.everything")(function* (
  directories: ReadonlyArray<string> = [],
): Effect.fn.Return<Everything, TaskError> {
  const { contents, problems } = yield* knownBelow([builtIn, ...directories])
  const [entries, wrong] = yield* Effect.partition([...contents.values()], entryOf)
  return { entries: new Map(entries.map((entry) => [entry.name, entry])), problems: [...problems, ...wrong] }
})

/** All of Hila's own tasks and groups. */
export const all = Effect.fn("Catalog.all")(function* () {
  const { entries, problems } = yield* everything()
  return problems[0] === undefined ? entries : yield* problems[0]
})

/** Finds content by name. A file called like the task is read first; only where that is not it, all files are. */
const finder = Effect.fnUntraced(function* (
  directories: ReadonlyArray<string>,
  own: ReadonlyArray<Members.Content>,
) {
  const known = new Map(own.map((content) => [content.name, content]))
  const files = yield* Effect.cached(
    Effect.map(Effect.forEach([builtIn, ...directories], filesBelow), (lists) => lists.flat()),
  )
  const whole = yield* Effect.cached(knownBelow([builtIn, ...directories]))
  return Effect.fnUntraced(function* (name: string) {
    const found = known.get(name)
    if (found !== undefined) return { found, known, problems: [] }
    const file = (yield* files).findLast((path) => basename(path).replace(/\.ya?ml$/, "") === name)
    const result = file === undefined ? undefined : yield* Effect.result(loadOnce(file))
    if (result !== undefined && Result.isSuccess(result) && result.success.name === name) {
      known.set(name, result.success)
      return { found: result.success, known, problems: [] }
    }
    const { contents, problems } = yield* whole
    for (const [other, loaded] of contents) if (!known.has(other)) known.set(other, loaded)
    // A broken file of that name is the one that is meant.
    const called = result !== undefined && Result.isFailure(result) ? [result.failure] : []
    return { found: known.get(name), known, problems: [...called, ...problems] }
  })
})

/** The content of a file called like a member, beside the group's own file. */
const beside = Effect.fnUntraced(function* (name: string, asker: string) {
  const paths = ["yaml", "yml"].map((extension) => join(dirname(asker), `${name}.${extension}`))
  const path = paths.find((candidate) => existsSync(candidate))
  const content = path === undefined ? undefined : yield* loadRaw(path)
  return content?.name === name ? content : undefined
})

/** A name without its case and separators: TAT-QA is tatqa, humaneval-xl is humaneval_xl. */
const letters = (name: string): string => name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "")

const lost = (
  name: string,
  asker: string,
  known: ReadonlyMap<string, Members.Content>,
  problems: ReadonlyArray<TaskError>,
) => {
  const similar = nearest(name, [...known.keys()])
  const [broken] = problems
  if (broken !== undefined && basename(broken.file).replace(/\.ya?ml(?::\d+)?$/, "") === name) return broken
  const advice =
    similar !== undefined
      ? `did you mean ${similar}?`
      : "see `hila tasks list`, or name a directory of your own with --include"
  // A file that cannot be read may be the one that is meant.
  const unread = broken === undefined ? "" : ` (a file that cannot be read may hold it: ${broken.message})`
  return new TaskError({
    file: asker,
    problem:
      unavailable[name.toLowerCase().replaceAll("_", "-")] ?? `there is no task ${name}; ${advice}${unread}`,
  })
}

/** Resolves names of tasks, groups and tags, and paths of task files. */
export const select = Effect.fn("Catalog.select")(function* (
  names: ReadonlyArray<string>,
  directories: ReadonlyArray<string> = [],
): Effect.fn.Return<Selection, TaskError> {
  const paths = names.filter((name) => /\.ya?ml$/.test(name))
  const loaded = yield* Effect.forEach(paths, (path) => loadRaw(path))
  const again = loaded.findIndex(({ name }, i) => loaded.findIndex((other) => other.name === name) !== i)
  if (again >= 0) {
    const { file, name } = at(loaded, again)
    const other = loaded.find((entry) => entry.name === name)?.file
    if (other !== file) {
      const problem = `${name} is also the name of what ${other} holds; give one of them another name`
      return yield* new TaskError({ file, key: "task", problem })
    }
  }
  const find = yield* finder(directories, loaded)
  const byPath = new Map(paths.map((path, i) => [path, loaded[i]?.name ?? path]))
  const resolve: Members.Resolve = Effect.fnUntraced(function* (name, asker) {
    // What lies beside a group's file that was given by its path is meant before others of that name.
    const near = paths.includes(asker) ? yield* beside(name, asker) : undefined
    if (near !== undefined) return [near]
    const { found, known, problems } = yield* find(name)
    if (found !== undefined) return [found]
    const tagged = [...known.values()].filter(({ raw }) => [raw["tag"]].flat().includes(name))
    const tasks = tagged.filter(({ _tag }) => _tag === "Task")
    if (tasks.length > 0) return tasks.toSorted((a, b) => (a.name < b.name ? -1 : 1))
    const same = [...known.keys()].filter((other) => letters(other) === letters(name))
    const meant = same.length === 1 ? known.get(at(same, 0)) : undefined
    return meant === undefined ? yield* lost(name, asker, known, problems) : [meant]
  })
  return yield* Members.select(
    names.map((name) => byPath.get(name) ?? name),
    resolve,
  )
})
