/**
 * Where a task's documents come from: its own files, a local copy of its data set, the Hub, or a function.
 *
 * Own files may be of the Hub, `hf://datasets/org/name@revision/path`; they are fetched into its cache.
 *
 * `metadata.local` of a built-in task names files of a copy (per split, `{name}` standing for `dataset_name`), relative to
 * the data directory; without a copy the Hub is asked. Paths of `data_files` are looked up in the data directory, the
 * working directory and beside the task's file.
 */
import { entryOr } from "@hila/core/Lookup"
import { HubFile } from "@hila/model"
import * as Effect from "effect/Effect"
import { cwd } from "node:process"
import { dirname, resolve } from "node:path"
import { TaskError } from "../EvalError.ts"
import * as Columns from "./Columns.ts"
import * as DataFiles from "./DataFiles.ts"
import * as Functions from "./Functions.ts"
import * as Hub from "./Hub.ts"
import * as Rows from "./Rows.ts"
import type { TaskConfig } from "./TaskConfig.ts"
import type { Row } from "./Template.ts"

const loaderOf = (path: string): Rows.Loader | undefined => Rows.loaders.find((loader) => loader === path)

type Values = Readonly<Record<string, unknown>>
const record = (value: unknown): Values =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Values) : {}

const { paths } = DataFiles

/** Files by their names, for data that do not lie in a directory. */
export type Files = Readonly<Record<string, string>>

/** Where local data lie. */
export interface Where {
  /** The data directory. */
  readonly data?: string
  readonly files?: Files
}

/** What is read, for errors and for the record of a run. */
export interface Documents {
  /** Files, or the data set's name on the Hub. */
  readonly source: string
  readonly rows: ReadonlyArray<Row>
}

/** The copies that a name or a pattern means; none where there is no such file. */
const locate = (name: string, roots: ReadonlyArray<string>, files: Files): ReadonlyArray<Copy> => {
  const { file, ...range } = part(name)
  const kept = files[file]
  if (kept !== undefined) return [{ name: file, path: kept, ...range }]
  const found = DataFiles.matching(file, roots)
  return found.map((path) => ({ name: found.length === 1 ? file : path, path, ...range }))
}

/** A file's name and, after it in brackets, which of its rows: `mbpp.jsonl[10:510]`. */
const part = (name: string) => {
  const [, file = name, start, end] = /^(.*)\[(\d*):(\d*)\]$/.exec(name) ?? []
  return { file, start: Number(start ?? 0), end: end === undefined || end === "" ? undefined : Number(end) }
}

/** A file of a local copy: what it is called, where it is, which of its rows are meant. */
interface Copy {
  readonly name: string
  readonly path: string
  readonly start: number
  readonly end: number | undefined
}

const readFiles = (copies: ReadonlyArray<Copy>, options: Rows.Options) =>
  Effect.map(
    Effect.forEach(copies, ({ end, name, path, start }) =>
      Effect.map(Rows.read(path, { ...options, name }), (rows) => rows.slice(start, end)),
    ),
    (parts) => parts.flat(),
  )

/** A file as a reader knows it: where it is, unless a store has it under a digest. */
const nameOf = ({ name, path }: Copy): string => (path.endsWith(name) ? path : name)

/**
 * What a task's data may be called: the data set on the Hub, with and without its owner, and the directories and files
 * (without their extensions) of local data.
 */
export const namesOf = (config: TaskConfig): ReadonlyArray<string> => {
  const dataset = config.dataset_path ?? ""
  const data = record(config.dataset_kwargs)["data_files"]
  const { header: _, ...local } = record(record(config.metadata)["local"])
  const files = [data, ...Object.values(record(data)), ...Object.values(local)].flatMap(paths)
  return [
    ...(loaderOf(dataset) !== undefined ? [] : [dataset, dataset.replace(/^.*\//, "")]),
    ...files.flatMap((name) =>
      part(name)
        .file.replace("{name}", config.dataset_name ?? "")
        .split("/")
        .map((step, i, steps) => (i === steps.length - 1 ? step.replace(/\..*$/, "") : step)),
    ),
  ].filter((name) => name !== "")
}

/** The documents of one split, prepared by the task's `process_docs`. */
export const read = Effect.fn("Dataset.read")(function* (
  file: string,
  config: TaskConfig,
  split: string,
  options: Where & { readonly end?: number } = {},
): Effect.fn.Return<Documents, TaskError> {
  const process =
    config.process_docs === undefined || config.process_docs === null
      ? undefined
      : yield* Functions.find(Functions.processes, file, "process_docs", config.process_docs)
  const prepared = ({ rows, source }: Documents) =>
    process === undefined
      ? Effect.succeed({ rows, source })
      : Effect.try({
          try: () => ({ source, rows: process(rows) }),
          catch: (cause) =>
            new TaskError({ file, key: "process_docs", problem: `fails on ${source}: ${String(cause)}` }),
        })
  if (config.custom_dataset !== undefined) {
    const make = yield* Functions.find(Functions.datasets, file, "custom_dataset", config.custom_dataset)
    return yield* prepared({ source: config.custom_dataset.function, rows: yield* make() })
  }
  const path = config.dataset_path
  if (path === undefined || path === null) {
    return yield* new TaskError({
      file,
      key: "dataset_path",
      problem: "says where the data are, and is missing",
    })
  }
  const kwargs = record(config.dataset_kwargs)
  const files = options.files ?? {}
  const roots = [options.data, cwd(), dirname(file)].flatMap((root) =>
    root === undefined ? [] : [resolve(root)],
  )
  const loader = loaderOf(path)
  if (loader !== undefined) {
    const how = yield* Effect.mapError(
      Effect.fromResult(DataFiles.options(loader, kwargs)),
      ([key, problem]) => new TaskError({ file, key: `dataset_kwargs.${key}`, problem }),
    )
    const named = yield* DataFiles.named(file, kwargs, roots)
    const key = `dataset_kwargs.data_files.${split}`
    const names = entryOr(named, split, [])
    if (names.length === 0) {
      const problem = `names no file for the split ${split}; there are files for ${Object.keys(named).join(", ") || "none"}`
      return yield* new TaskError({ file, key: "dataset_kwargs.data_files", problem })
    }
    const found = yield* Effect.forEach(names, (name) => {
      if (HubFile.isName(name)) {
        const { file: place, ...range } = part(name)
        return Effect.mapBoth(HubFile.open(place), {
          onFailure: ({ message }) => new TaskError({ file, key, problem: message }),
          onSuccess: (at) => [{ name: place, path: at, ...range }],
        })
      }
      const copies = locate(name, roots, files)
      const problem = `there is no ${name} in ${roots.join(", ")}; give the data's directory by --data`
      return copies.length === 0 ? Effect.fail(new TaskError({ file, key, problem })) : Effect.succeed(copies)
    })
    const copies = found.flat()
    // The kinds of columns are those of the first split, where it is there.
    const [[first, firstNames] = ["", []]] = Object.entries(named)
    const beside = first === split ? [] : firstNames.slice(0, 1).flatMap((name) => locate(name, roots, files))
    const rows = yield* readFiles(copies, how)
    const others = yield* Effect.orElseSucceed(readFiles(beside.slice(0, 1), how), () => [])
    return yield* prepared({
      source: copies.map(nameOf).join(", "),
      rows: loader === "json" ? Columns.make(rows, others) : rows,
    })
  }
  const local = record(record(config.metadata)["local"])
  const names = paths(local[split]).map((name) => name.replace("{name}", config.dataset_name ?? ""))
  const copies = names.flatMap((name) => locate(name, roots, files))
  if (names.length > 0 && copies.length >= names.length) {
    const header = paths(local["header"])
    const rows = yield* readFiles(copies, header.length === 0 ? {} : { header })
    return yield* prepared({ source: copies.map(nameOf).join(", "), rows })
  }
  const unheard = ["data_files", "data_dir", "revision", "split"].find((key) => kwargs[key] !== undefined)
  if (unheard !== undefined) {
    const problem =
      "has no place in the Hub's parquet, which is what is read; name files of the data set by dataset_path: json and data_files: hf://datasets/…"
    return yield* new TaskError({ file, key: `dataset_kwargs.${unheard}`, problem })
  }
  const rows = yield* Hub.read(
    {
      path,
      split,
      ...(typeof config.dataset_name === "string" ? { name: config.dataset_name } : {}),
      // A function may drop or join rows, so it gets them all.
      ...(options.end === undefined || process !== undefined ? {} : { end: options.end }),
    },
    file,
  )
  return yield* prepared({ source: `${path} of the Hub`, rows })
})
