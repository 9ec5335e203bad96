/**
 * Rows of local data files: jsonl, json, csv, tsv, txt and parquet, the text formats also gzipped.
 *
 * A json file is a list of rows, or an object of rows or values by their id, which becomes the column `id`. A txt file is one
 * row `text` per line. Parquet is read by ranges of the file.
 */
import { Parquet } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { promisify } from "node:util"
import { gunzip } from "node:zlib"
import { TaskError } from "../EvalError.ts"
import * as Csv from "./Csv.ts"
import type { Row } from "./Template.ts"

const isRow = (value: unknown): value is Row =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** JSON, also as Python writes it: numbers that JSON lacks (NaN, Infinity) become null. */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    const plain = text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (token) =>
      token.startsWith('"') ? token : "null",
    )
    return JSON.parse(plain)
  }
}

const json = (text: string, field: string | undefined): ReadonlyArray<unknown> => {
  const whole = parse(text)
  const content = field === undefined ? whole : isRow(whole) ? (whole[field] ?? []) : whole
  if (Array.isArray(content)) return content.map((row) => (typeof row === "string" ? { text: row } : row))
  if (!isRow(content)) return [content]
  return Object.entries(content).map(([id, row]) => (isRow(row) ? { id, ...row } : { id, value: row }))
}

const jsonl = Effect.fnUntraced(function* (file: string, text: string) {
  const lines = text.split("\n")
  const rows: Array<unknown> = []
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue
    const row = yield* Effect.try({
      try: () => parse(line),
      catch: (cause) => new TaskError({ file: `${file}:${i + 1}`, problem: `no JSON: ${messageOf(cause)}` }),
    })
    rows.push(row)
  }
  return rows
})

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause))

/** Parquet's 64-bit integers as numbers, where they are exact as such; bytes as text. */
export const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Uint8Array) return new TextDecoder().decode(value)
  if (value instanceof Date) return value.toISOString()
  if (isRow(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
  return value
}

const parquet = (file: string) =>
  Effect.tryPromise({
    try: async () => {
      const { asyncBufferFromFile, parquetReadObjects } = await import("hyparquet")
      return (
        await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors: Parquet.compressors })
      ).map(plain)
    },
    catch: (cause) => new TaskError({ file, problem: `cannot be read as parquet: ${messageOf(cause)}` }),
  })

/** How a file is read. */
export interface Options {
  /** The columns of a csv file without a line of names. */
  readonly header?: ReadonlyArray<string>
  /** What the file is called, where it lies under another name. */
  readonly name?: string
  /** The key of a json file under which the rows lie; a list of texts becomes rows of one column `text`. */
  readonly field?: string
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
      return (name === called ? bytes : await promisify(gunzip)(bytes)).toString("utf8")
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
  const formats: Readonly<Record<string, () => Effect.Effect<ReadonlyArray<unknown>, TaskError>>> = {
    jsonl: () => Effect.flatMap(text, (content) => jsonl(file, content)),
    json: () => parsed((content) => json(content, options.field)),
    csv: () => parsed((content) => Csv.rows(content, options)),
    tsv: () => parsed((content) => Csv.rows(content, { ...options, separator: "\t" })),
    txt: () =>
      parsed((content) =>
        content
          .replace(/\n$/, "")
          .split("\n")
          .map((line) => ({ text: line })),
      ),
    parquet: () => parquet(file),
  }
  const rows = yield* (
    formats[extension ?? ""]?.() ??
      Effect.fail(
        new TaskError({ file, problem: "expected a .jsonl, .json, .csv, .tsv, .txt or .parquet file" }),
      )
  )
  const wrong = rows.findIndex((row) => !isRow(row))
  if (wrong >= 0) return yield* new TaskError({ file, problem: `row ${wrong} is no object of columns` })
  return rows.filter(isRow)
})
