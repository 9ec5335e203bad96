/**
 * JSON files of the user's as texts: read as Python reads them, and changed in one place with every other byte kept.
 *
 * `JSON.parse` and `JSON.stringify` turn `30.0` into `30`, round integers above 2^53, sort keys that look like numbers,
 * refuse the `NaN` and `Infinity` that Python writes, and drop layout and repeated keys. Editors' libraries
 * (jsonc-parser) keep the bytes, but know no `NaN` and `Infinity`, recurse without bound, and lay new values out by
 * options instead of by the file. So an edit here is a splice of the text at a span found by scanning it.
 */
import { last } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Scan from "../internal/jsonScan.ts"
import { type Layout, layoutAt, print } from "../internal/jsonPrint.ts"

/** Keys and indices from the top of a text to a value. */
export type Path = ReadonlyArray<string | number>

/** The value of a text, or what is wrong with it and where; numbers are doubles, of repeated keys the last counts. */
export const read = (text: string): Result.Result<unknown, string> => {
  const depth = Scan.depthOf(text)
  if (depth > Scan.deepest) return Result.fail(`${depth} levels deep, at most ${Scan.deepest} are read`)
  try {
    return Result.succeed(JSON.parse(text))
  } catch {
    // Not JSON, or JSON of Python's: the scan tells the two apart.
  }
  try {
    const start = Scan.skipSpace(text, 0)
    const end = Scan.endOfValue(text, start)
    const value = Scan.valueAt(text, start, end)
    const rest = Scan.skipSpace(text, end)
    if (rest === text.length) return Result.succeed(value)
    throw new Scan.JsonProblem(rest, "expected nothing more")
  } catch (cause) {
    if (!(cause instanceof Scan.JsonProblem)) throw cause
    const lines = text.slice(0, cause.offset).split("\n")
    return Result.fail(`line ${lines.length}, column ${last(lines).length + 1}: ${cause.message}`)
  }
}

const expected = "a text that is JSON"

/** A schema for the value of such a text; a text that cannot be read fails with `no JSON: …`. */
export const fromText = <S extends Schema.Constraint>(schema: S) =>
  Schema.String.annotate({ expected }).pipe(
    Schema.decodeTo(Schema.Unknown, {
      decode: SchemaGetter.transformEffect((text: string) =>
        Effect.mapError(
          Effect.fromResult(read(text)),
          (problem) => new SchemaIssue.InvalidValue({ message: `no JSON: ${problem}` }),
        ),
      ),
      encode: SchemaGetter.stringifyJson(),
    }),
    Schema.decodeTo(schema),
  )

/** The value at a path and where its parents lie, as far as they exist. */
interface Found {
  /** From the root to the last container on the path that exists. */
  readonly parents: ReadonlyArray<Scan.Entry>
  /** The value itself, or undefined where its parent has none. */
  readonly entry: Scan.Entry | undefined
}

const find = (text: string, path: Path): Found => {
  const start = Scan.skipSpace(text, 0)
  let entry: Scan.Entry = { at: start, keyEnd: start, start, end: Scan.endOfValue(text, start) }
  const parents: Array<Scan.Entry> = []
  for (const [depth, step] of path.entries()) {
    const kind = text[entry.start] === "{" ? "string" : text[entry.start] === "[" ? "number" : undefined
    // The caller has read this text, so a path through what is no container is its own mistake.
    if (typeof step !== kind)
      throw new Error(`no ${step} in the JSON value at ${path.slice(0, depth).join(".")}`)
    parents.push(entry)
    const found = childOf(text, entry, step)
    if (found === undefined) {
      if (depth === path.length - 1 && kind === "string") return { parents, entry: undefined }
      throw new Error(`there is no JSON value at ${path.slice(0, depth + 1).join(".")}`)
    }
    entry = found
  }
  return { parents, entry }
}

/** The last member with a key, which is the one that counts, or an element by index. */
const childOf = (text: string, { start }: Scan.Entry, step: string | number): Scan.Entry | undefined => {
  let found: Scan.Entry | undefined
  let index = 0
  for (const entry of Scan.entriesOf(text, start)) {
    if (typeof step === "number" ? index === step : Scan.keyOf(text, entry) === step) found = entry
    index++
  }
  return found
}

const splice = (text: string, start: number, end: number, inserted: string) =>
  text.slice(0, start) + inserted + text.slice(end)

/**
 * The text with another value at a path, laid out as the file is; a key that is not there is added at the end of its
 * object. The text must be one that `read` takes, and the value's parent must be there.
 */
export const set = (text: string, path: Path, value: unknown): string => {
  const { entry, parents } = find(text, path)
  if (entry === undefined) return extend(text, path.slice(0, -1), [[String(path.at(-1)), value]])
  const layout = layoutAt(text, parents, entry)
  return splice(text, entry.start, entry.end, print(value, layout))
}

/** The text without a key, every time it stands there, or without an element; unchanged where there is no such key. */
export const remove = (text: string, path: Path): string => {
  const { entry, parents } = find(text, path)
  const parent = parents.at(-1)
  if (entry === undefined || parent === undefined) return text
  const entries = [...Scan.entriesOf(text, parent.start)]
  const index = entries.findIndex(({ at }) => at === entry.at)
  const [before, after] = [entries[index - 1], entries[index + 1]]
  const rest =
    after !== undefined
      ? splice(text, entry.at, after.at, "")
      : before !== undefined
        ? splice(text, before.end, entry.end, "")
        : splice(text, parent.start + 1, parent.end - 1, "")
  return typeof path.at(-1) === "string" ? remove(rest, path) : rest
}

/** The text with elements at the end of the list at a path. */
export const append = (text: string, path: Path, items: ReadonlyArray<unknown>): string =>
  insert(text, path, (layout) => items.map((item) => print(item, layout)))

/** The text with members at the end of the object at a path, which has none of their keys. */
export const extend = (
  text: string,
  path: Path,
  members: ReadonlyArray<readonly [key: string, value: unknown]>,
): string =>
  insert(text, path, (layout) =>
    members.map(([key, value]) => `${JSON.stringify(key)}${layout.colon}${print(value, layout)}`),
  )

const insert = (text: string, path: Path, printed: (layout: Layout) => ReadonlyArray<string>): string => {
  const { entry: container, parents } = find(text, path)
  if (container === undefined) throw new Error(`there is no JSON value at ${path.join(".")}`)
  let first: Scan.Entry | undefined
  let second: Scan.Entry | undefined
  let last: Scan.Entry | undefined
  for (const entry of Scan.entriesOf(text, container.start)) {
    if (first === undefined) first = entry
    else second ??= entry
    last = entry
  }
  const layout = layoutAt(text, [...parents, container], last)
  const items = printed(layout)
  if (items.length === 0) return text
  if (first === undefined || last === undefined) {
    const [open, close] = layout.around
    return splice(text, container.start + 1, container.end - 1, open + items.join(layout.between) + close)
  }
  const between = second === undefined ? layout.between : text.slice(first.end, second.at)
  return splice(text, last.end, last.end, items.map((item) => between + item).join(""))
}
