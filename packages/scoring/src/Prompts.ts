/**
 * Prompts from files: JSON lines, CSV with a header, parquet, or text with one prompt per line; of one's own, or of a data
 * set on the Hub.
 *
 * A row becomes a question; its answer is only used where golden data is verified, by its key or as a program that tests.
 * Rows are taken as they are: nothing is trimmed or left out but blank lines.
 */
import { Artifact, type Node } from "@hila/core"
import { known } from "@hila/core/Lookup"
import { HubFile, Parquet, type Question } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Csv from "effect/encoding/Csv"
import * as Stream from "effect/Stream"
import { readFile } from "node:fs/promises"
import { extname } from "node:path"
import { ScoringError } from "./ScoringError.ts"

/** A file of prompts, read by its ending. */
export const file = Artifact.file("prompt-file")

/** A file of prompts as people name it, as the leaf of a pipeline: a path, or `hf://datasets/org/name@revision/path`. */
export const source = (text: string): Node.SourceNode<Artifact.FileHandle> => HubFile.source(text, file)

/**
 * What in a row is what: a column of CSV and parquet, a field of JSON lines, or a text with columns in it, as
 * `"Q: {{question}}\nA:"`. Text files have prompts alone. Numbers count as texts, a list of texts as its lines.
 */
export interface Options {
  readonly domain: string
  /** `"prompt"` by default. */
  readonly prompt?: string
  /** Where the key is, or the program that tests an answer, if there is one. */
  readonly answer?: string
}

const place = /\{\{\s*([^{}]+?)\s*\}\}/g

/** The columns that an option asks for: those in its braces, or itself. */
const columnsOf = (option: string): ReadonlyArray<string> => {
  const named = Array.from(option.matchAll(place), ([, column = ""]) => column)
  return named.length === 0 ? [option] : named
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

/** Those columns of a parquet file's rows that are wanted; `name` stands for the file in errors. */
const parquet = Effect.fnUntraced(function* (
  path: string,
  name: string,
  wanted: ReadonlyArray<string>,
): Effect.fn.Return<Rows, ScoringError> {
  const attempt = <A>(call: () => Promise<A>) =>
    Effect.tryPromise({
      try: call,
      catch: (cause) =>
        complain(
          name,
          `cannot be read as parquet: ${cause instanceof Error ? cause.message : String(cause)}`,
        ),
    })
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } =
    yield* Effect.promise(() => import("hyparquet"))
  const buffer = yield* attempt(() => asyncBufferFromFile(path))
  const metadata = yield* attempt(() => parquetMetadataAsync(buffer))
  const columns = parquetSchema(metadata).children.map(({ element }) => element.name)
  const missing = wanted.find((column) => !columns.includes(column))
  if (missing !== undefined)
    return yield* complain(name, `there is no column "${missing}"; there are ${columns.join(", ")}`)
  const rows = yield* attempt(() =>
    parquetReadObjects({ file: buffer, metadata, columns: [...wanted], compressors: Parquet.compressors }),
  )
  return rows.map((row, index) => ({ place: `row ${index + 1}`, row }))
})

/** A cell as text: numbers as they are written, a list of texts as lines; undefined where it holds no text. */
const textOf = (row: object, column: string): string | undefined => {
  const value: unknown =
    typeof row === "object" && row !== null && Object.hasOwn(row, column)
      ? Reflect.get(row, column)
      : undefined
  if (typeof value === "string") return value === "" ? undefined : value
  if (typeof value === "number" || typeof value === "bigint") return String(value)
  return Array.isArray(value) && value.length > 0 && value.every((line) => typeof line === "string")
    ? value.join("\n")
    : undefined
}

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
  const wanted = [...new Set([prompt, ...(answer === undefined ? [] : [answer])].flatMap(columnsOf))]
  const rows = yield* parser === undefined
    ? parquet(path, name, wanted)
    : Effect.flatMap(text, (content) => parser(name, content))
  return yield* Effect.forEach(
    rows,
    Effect.fnUntraced(function* ({ place: at, row }): Effect.fn.Return<Question.Question, ScoringError> {
      const filled = Effect.fnUntraced(function* (option: string) {
        const columns = columnsOf(option)
        const texts = new Map(columns.map((column) => [column, textOf(row, column)]))
        const missing = columns.find((column) => texts.get(column) === undefined)
        if (missing === undefined)
          return (
            texts.get(option) ??
            option.replaceAll(place, (_, column: string) => known(texts.get(column), column))
          )
        const has = typeof row === "object" && row !== null ? Object.keys(row).join(", ") : typeof row
        return yield* complain(name, `${at} has no text in "${missing}"; it has ${has}`)
      })
      return {
        domain,
        prompt: yield* filled(prompt),
        answer: answer === undefined ? "" : yield* filled(answer),
      }
    }),
  )
})
