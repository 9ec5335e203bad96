/**
 * Which files a task's own data lie in: `dataset_kwargs` of the loaders json, csv, text and parquet.
 *
 * `data_files` is a file or a list of them, which are the split `train`, or names files by split; `data_dir` is where they
 * lie, and alone means every file below it, by the splits that their names tell. Names may be patterns.
 */
import { entryOr, last } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { existsSync, globSync, statSync } from "node:fs"
import { isAbsolute, join } from "node:path"
import { TaskError } from "../EvalError.ts"
import { nearest } from "../internal/suggestion.ts"
import type { Loader, Options } from "./Rows.ts"

type Values = Readonly<Record<string, unknown>>
const isRecord = (value: unknown): value is Values =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Paths in a value that is one or a list of them. */
export const paths = (value: unknown): ReadonlyArray<string> =>
  [value].flat().filter((path): path is string => typeof path === "string")

/** What changes nothing of what is read here. */
const indifferent =
  "trust_remote_code verification_mode download_mode num_proc keep_in_memory streaming cache_dir token save_infos chunksize use_threads block_size".split(
    " ",
  )

const own: Readonly<Record<Loader, ReadonlyArray<string>>> = {
  json: ["field"],
  csv: ["sep", "delimiter", "names", "column_names", "header"],
  text: ["sample_by", "keep_linebreaks"],
  parquet: [],
}

/** How a loader's files are read, from its `dataset_kwargs`, or which of them is not known. */
export const options = (
  loader: Loader,
  kwargs: Values,
): Result.Result<Options, readonly [key: string, problem: string]> => {
  const known = ["data_files", "data_dir", ...own[loader], ...indifferent]
  for (const [key, value] of Object.entries(kwargs)) {
    if (known.includes(key) || (key === "encoding" && /^utf-?8$/i.test(String(value)))) continue
    const near = nearest(key, known)
    const advice =
      near === undefined
        ? `known are ${known.slice(0, -indifferent.length).join(", ")}`
        : `did you mean ${near}?`
    return Result.fail([key, `unknown to the loader ${loader}; ${advice}`])
  }
  const {
    column_names: columns,
    delimiter,
    field,
    header,
    names = columns,
    sample_by: by = "line",
    sep = delimiter,
  } = kwargs
  if (kwargs["keep_linebreaks"] === true)
    return Result.fail(["keep_linebreaks", "lines are read without their breaks"])
  if (by !== "line" && by !== "paragraph" && by !== "document") {
    return Result.fail(["sample_by", `expected line, paragraph or document, got ${JSON.stringify(by)}`])
  }
  if (sep !== undefined && sep !== null && (typeof sep !== "string" || sep.length !== 1)) {
    return Result.fail(["sep", `expected one character, got ${JSON.stringify(sep)}`])
  }
  // Names take the place of a first line only where it is said that there is none, which names alone say as well.
  if (
    header !== undefined &&
    header !== null &&
    header !== "infer" &&
    (header !== 0 || names !== undefined)
  ) {
    return Result.fail(["header", `expected null, "infer" or 0 without names, got ${JSON.stringify(header)}`])
  }
  if (header === null && names === undefined)
    return Result.fail(["header", "is null, so that names have to be given"])
  return Result.succeed({
    loader,
    sampleBy: by,
    ...(typeof field === "string" ? { field } : {}),
    ...(typeof sep === "string" ? { separator: sep } : {}),
    ...(Array.isArray(names) ? { header: names.map(String) } : {}),
  })
}

/** Words in the names of files and directories by which splits are known. */
const words: Readonly<Record<string, ReadonlyArray<string>>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "dev", "val"],
  test: ["test", "testing", "eval", "evaluation"],
}

const tells = (name: string, split: string): boolean =>
  entryOr(words, split, []).some((word) => new RegExp(`(?:^|[-._ 0-9])${word}(?:$|[-._ 0-9])`).test(name))

/** The files below a directory by their splits: as directories' names tell, else their own, else all are `train`. */
const bySplit = (directory: string): Readonly<Record<string, ReadonlyArray<string>>> => {
  const files = globSync("**/*", { cwd: directory })
    .filter((name) => !/(^|\/)(?:\.|README\.md$)/.test(name) && statSync(join(directory, name)).isFile())
    .toSorted()
  const among = (told: (steps: ReadonlyArray<string>, split: string) => boolean) =>
    Object.fromEntries(
      Object.keys(words)
        .map(
          (split) =>
            [
              split,
              files.filter((name) => told(name.split("/"), split)).map((name) => join(directory, name)),
            ] as const,
        )
        .filter(([, found]) => found.length > 0),
    )
  const attempts = [
    among((steps, split) => steps.slice(0, -1).some((step) => tells(step, split))),
    among((steps, split) => tells(steps.length === 0 ? "" : last(steps), split)),
  ]
  return (
    attempts.find((found) => Object.keys(found).length > 0) ?? {
      train: files.map((name) => join(directory, name)),
    }
  )
}

const isPattern = (name: string): boolean => /[*?[\]]/.test(name)

/** Files that a name or a pattern means below the first of the roots that has any. */
export const matching = (name: string, roots: ReadonlyArray<string>): ReadonlyArray<string> => {
  for (const root of isAbsolute(name) ? ["/"] : roots) {
    const path = isAbsolute(name) ? name : join(root, name)
    if (existsSync(path)) return [path]
    if (!isPattern(name)) continue
    const found = globSync(isAbsolute(name) ? name.slice(1) : name, { cwd: root })
      .map((file) => join(root, file))
      .filter((file) => statSync(file).isFile())
    if (found.length > 0) return found.toSorted()
  }
  return []
}

/** Names of files by split, as they are given. */
export const named = Effect.fnUntraced(function* (
  file: string,
  kwargs: Values,
  roots: ReadonlyArray<string>,
): Effect.fn.Return<Readonly<Record<string, ReadonlyArray<string>>>, TaskError> {
  const fail = (key: string, problem: string) =>
    new TaskError({ file, key: `dataset_kwargs.${key}`, problem })
  const { data_dir: directory, data_files: given } = kwargs
  const below = typeof directory === "string" ? directory : undefined
  if (given === undefined || given === null) {
    if (below === undefined) return yield* fail("data_files", "says which files the data are, and is missing")
    const found = matching(below, roots).find((path) => statSync(path).isDirectory())
    return found === undefined
      ? yield* fail(
          "data_dir",
          `there is no directory ${below} in ${roots.join(", ")}; give the data's directory by --data`,
        )
      : bySplit(found)
  }
  const inside = (names: unknown) =>
    paths(names).map((name) =>
      below === undefined || isAbsolute(name) || name.includes("://") ? name : join(below, name),
    )
  if (isRecord(given))
    return Object.fromEntries(Object.entries(given).map(([split, names]) => [split, inside(names)]))
  const entries = [given].flat()
  if (!entries.every(isRecord)) return { train: inside(given) }
  return Object.fromEntries(entries.map(({ path, split }) => [String(split), inside(path)]))
})
