/**
 * Rows of local data files: jsonl, json, csv, tsv, txt and parquet, the text formats also gzipped.
 *
 * A loader reads a file as the reference harness's of that name does, whatever the file is called: JSON is a list of rows,
 * or one row after another. Without one the name's extension says how, and an object in a json file is rows or values
 * by their id, which becomes the column `id`. A txt file is one row `text` per line. Parquet is read by ranges of the file.
 */
import { atOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import { TaskError } from "../EvalError.ts"
import * as Csv from "./Csv.ts"
import * as Json from "./Json.ts"
import * as ParquetRows from "./ParquetRows.ts"
import type { Row } from "./Template.ts"

/** The harness's readers of files, by the names that task files use. */
export const loaders = ["json", "csv", "text", "parquet"] as const
export type Loader = (typeof loaders)[number]

const isRow = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** Rows of a list; what is no row becomes the column `text`. */
const listed = (list: ReadonlyArray<unknown>): ReadonlyArray<Row> =>
  list.map((row) => (isRow(row) ? row : { text: row }))

/** Columns by their names as rows. */
const transposed = (columns: Row): ReadonlyArray<Row> => {
  const lists = Object.values(columns).map((column) => (Array.isArray(column) ? column : undefined))
  const length = atOr(lists, 0, []).length
  if (lists.some((list) => list?.length !== length))
    throw new Error("expected rows, or columns of one length")
  return Array.from({ length }, (_, i) =>
    Object.fromEntries(Object.keys(columns).map((name, column) => [name, lists[column]?.[i]])),
  )
}

/** Rows of an object by their ids. */
const byId = (content: Row): ReadonlyArray<Row> =>
  Object.entries(content).map(([id, row]) => (isRow(row) ? { id, ...row } : { id, value: row }))

const whole = (text: string, { field, loader }: Options): ReadonlyArray<unknown> => {
  const all = Json.parse(text)
  if (field !== undefined) {
    const content = isRow(all) ? all[field] : undefined
    if (Array.isArray(content)) return listed(content)
    if (isRow(content)) return loader === undefined ? byId(content) : transposed(content)
    throw new Error(`has no rows under the key ${field}`)
  }
  if (Array.isArray(all)) return listed(all)
  if (!isRow(all)) return [all]
  return loader === undefined ? byId(all) : [all]
}

const lines = Effect.fnUntraced(function* (file: string, text: string) {
  const rows: Array<unknown> = []
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue
    const row = yield* Effect.try({
      try: () => Json.parse(line),
      catch: (cause) => new TaskError({ file: `${file}:${i + 1}`, problem: `no JSON: ${messageOf(cause)}` }),
    })
    rows.push(row)
  }
  return rows
})

/** How a file is read. */
export interface Options {
  /** Whose reading it is. */
  readonly loader?: Loader
  /** The columns of a csv file without a line of names. */
  readonly header?: ReadonlyArray<string>
  /** Between the cells of a csv file. */
  readonly separator?: string
  /** What the file is called, where it lies under another name. */
  readonly name?: string
  /** The key of a json file under which the rows lie; a list of texts becomes rows of one column `text`. */
  readonly field?: string
  /** What a row of a text file is; a line unless given. */
  readonly sampleBy?: "line" | "paragraph" | "document"
}

/** Rows of a text: its lines, its paragraphs, or itself. */
const texts = (content: string, by: Options["sampleBy"] = "line"): ReadonlyArray<Row> => {
  const text = content.replaceAll(/\r\n?/g, "\n")
  if (text === "") return []
  if (by === "document") return [{ text }]
  if (by === "line")
    return text
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => ({ text: line }))
  return text.split("\n\n").flatMap((paragraph) => (paragraph === "" ? [] : [{ text: paragraph }]))
}

/** All rows of a file. */
export const read = Effect.fn("Rows.read")(function* (
  file: string,
  options: Options = {},
): Effect.fn.Return<ReadonlyArray<Row>, TaskError> {
  const called = options.name ?? file
  const name = called.replace(/\.gz$/, "")
  const extension = /\.([a-z]+)$/.exec(name)?.[1]
  const text = Effect.tryPromise({
    try: async () => {
      const bytes = await readFile(file)
      const content = (name === called ? bytes : await promisify(gunzip)(bytes)).toString("utf8")
      return content.startsWith("\uFEFF") ? content.slice(1) : content
    },
    catch: (cause) => new TaskError({ file, problem: `cannot be read: ${messageOf(cause)}` }),
  })
  const parsed = (parse: (content: string) => ReadonlyArray<unknown>) =>
    Effect.flatMap(text, (content) =>
      Effect.try({
        try: () => parse(content),
        catch: (cause) => new TaskError({ file, problem: `cannot be read: ${messageOf(cause)}` }),
      }),
    )
  const json = () => parsed((content) => whole(content, options))
  const jsonl = () => Effect.flatMap(text, (content) => lines(file, content))
  const formats: Readonly<Record<string, () => Effect.Effect<ReadonlyArray<unknown>, TaskError>>> = {
    jsonl,
    json: () =>
      options.field !== undefined
        ? json()
        : Effect.flatMap(text, (content) => {
            if (/^\s*\[/.test(content)) return json()
            // One object over several lines is no row after another; what is wrong with lines is their own to say.
            const many = jsonl().pipe(Effect.catch((problem) => Effect.mapError(json(), () => problem)))
            return options.loader === undefined ? json().pipe(Effect.catch(() => many)) : many
          }),
    csv: () => parsed((content) => Csv.rows(content, options)),
    tsv: () => parsed((content) => Csv.rows(content, { ...options, separator: "\t" })),
    txt: () => parsed((content) => texts(content, options.sampleBy)),
    parquet: () =>
      Effect.tryPromise({
        try: async () => {
          const { asyncBufferFromFile } = await import("hyparquet")
          return ParquetRows.read(await asyncBufferFromFile(file))
        },
        catch: (cause) => new TaskError({ file, problem: `cannot be read as parquet: ${messageOf(cause)}` }),
      }),
  }
  const { loader } = options
  const format = loader === undefined ? extension : loader === "text" ? "txt" : loader
  const rows = yield* (
    formats[format ?? ""]?.() ??
      Effect.fail(
        new TaskError({ file, problem: "expected a .jsonl, .json, .csv, .tsv, .txt or .parquet file" }),
      )
  )
  const wrong = rows.findIndex((row) => !isRow(row))
  if (wrong >= 0) return yield* new TaskError({ file, problem: `row ${wrong} is no object of columns` })
  return rows.filter(isRow)
})
