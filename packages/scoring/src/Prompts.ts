/**
 * Prompts from files: JSON lines, CSV with a header, parquet, or text with one prompt per line.
 *
 * A row becomes a question; its answer is only used where golden data is verified by its key. Rows are taken as they
 * are: nothing is trimmed, templated or left out but blank lines.
 */
import { Artifact } from "@hila/core"
import type { Question } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Csv from "effect/encoding/Csv"
import * as Stream from "effect/Stream"
import { readFile } from "node:fs/promises"
import { extname } from "node:path"
import { ScoringError } from "./ScoringError.ts"

/** A file of prompts, read by its ending. */
export const file = Artifact.file("prompt-file")

/** What in a row is what; columns of CSV and parquet, fields of JSON lines. Text files have prompts alone. */
export interface Options {
  readonly domain: string
  /** `"prompt"` by default. */
  readonly prompt?: string
  /** Where the key is, if there is one. */
  readonly answer?: string
}

const complain = (path: string, problem: string) =>
  new ScoringError({ subject: "prompts", problem: `${path}: ${problem}` })

const lines = (text: string) =>
  text
    .split("\n")
    .map((line, index) => ({ line: line.replace(/\r$/, ""), number: index + 1 }))
    .filter(({ line }) => line.trim() !== "")

type Rows = ReadonlyArray<{ readonly place: string; readonly row: object }>

/** Formats of text; `path` stands for the file in errors. */
const parse: Readonly<Record<string, (path: string, text: string) => Effect.Effect<Rows, ScoringError>>> = {
  ".jsonl": (path, text) =>
    Effect.forEach(lines(text), ({ line, number }) =>
      Effect.try({
        try: () => ({ place: `line ${number}`, row: JSON.parse(line) as object }),
        catch: () => complain(path, `line ${number} is not JSON`),
      }),
    ),
  ".csv": (path, text) =>
    Stream.make(text).pipe(
      Stream.pipeThroughChannel(Csv.decodeString({ headers: true })),
      Stream.runCollect,
      Effect.mapBoth({
        onFailure: (cause) => complain(path, `not CSV with a header: ${cause.message}`),
        onSuccess: (rows) => rows.map((row, index) => ({ place: `row ${index + 1}`, row })),
      }),
    ),
  ".txt": (_, text) =>
    Effect.succeed(
      lines(text).map(({ line, number }) => ({ place: `line ${number}`, row: { prompt: line } })),
    ),
}

/** The rows of a parquet file, as data sets of the Hub have them; `name` stands for it in errors. */
const parquet = (path: string, name: string): Effect.Effect<Rows, ScoringError> =>
  Effect.tryPromise({
    try: async () => {
      const { asyncBufferFromFile, parquetReadObjects } = await import("hyparquet")
      const rows: ReadonlyArray<object> = await parquetReadObjects({ file: await asyncBufferFromFile(path) })
      return rows.map((row, index) => ({ place: `row ${index + 1}`, row }))
    },
    catch: (cause) =>
      complain(name, `cannot be read as parquet: ${cause instanceof Error ? cause.message : String(cause)}`),
  })

const cell = (row: object, name: string): unknown =>
  typeof row === "object" && row !== null && name in row ? Reflect.get(row, name) : undefined

/** The questions of a file; a row without its prompt or answer is an error that names it. */
export const read = Effect.fn("Prompts.read")(function* (
  path: string,
  { answer, domain, prompt = "prompt" }: Options,
  /** The name that tells the format, where it is not the path's own. */
  name: string = path,
) {
  const parser = parse[extname(name)]
  if (parser === undefined && extname(name) !== ".parquet") {
    const known = [...Object.keys(parse), ".parquet"].join(", ")
    return yield* complain(name, `unknown kind of file; give one of ${known}`)
  }
  const text = Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () => complain(name, "cannot be read"),
  })
  const rows = yield* parser === undefined
    ? parquet(path, name)
    : Effect.flatMap(text, (content) => parser(name, content))
  return yield* Effect.forEach(
    rows,
    Effect.fnUntraced(function* ({ place, row }): Effect.fn.Return<Question.Question, ScoringError> {
      const required = Effect.fnUntraced(function* (column: string) {
        const value = cell(row, column)
        if (typeof value === "string" && value !== "") return value
        const has = typeof row === "object" && row !== null ? Object.keys(row).join(", ") : typeof row
        return yield* complain(name, `${place} has no text in "${column}"; it has ${has}`)
      })
      return {
        domain,
        prompt: yield* required(prompt),
        answer: answer === undefined ? "" : yield* required(answer),
      }
    }),
  )
})
