/**
 * Rows of separated values (RFC 4180), for local copies of data sets.
 *
 * Columns are of the kinds that pandas finds, through which the reference harness reads such files: integers, floats,
 * truth values, else texts. Empty cells and the words for nothing are null; integers with one of these among them are
 * floats.
 */
import { atOr, entryOr } from "@hila/core/Lookup"
import { float, type Float } from "../internal/python.ts"
import type { Row } from "./Template.ts"

/** The cells of every line; quoted cells may hold commas, quotes (doubled) and line breaks. */
export const cells = (text: string, separator = ","): ReadonlyArray<ReadonlyArray<string>> => {
  const lines: Array<Array<string>> = []
  let line: Array<string> = []
  let at = text.startsWith("\uFEFF") ? 1 : 0
  while (at < text.length) {
    let cell = ""
    if (text[at] === '"') {
      for (;;) {
        const close = text.indexOf('"', at + 1)
        const end = close < 0 ? text.length : close
        cell += text.slice(at + 1, end)
        at = end + 1
        if (text[at] !== '"') break
        cell += '"'
      }
    }
    // What follows a closing quote, or the whole of a cell without quotes.
    const start = at
    while (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") at++
    line.push(cell + text.slice(start, at))
    if (text[at] === separator) {
      at++
      if (at < text.length) continue
      line.push("")
    }
    if (text[at] === "\r") at++
    if (text[at] === "\n") at++
    if (line.length > 1 || line[0] !== "") lines.push(line)
    line = []
  }
  return lines
}

/** What pandas takes for nothing, quoted or not. */
const nothing = new Set(
  ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"].concat([
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
  ]),
)

const infinite = /^\s*[-+]?inf(?:inity)?\s*$/i
const isNumber = (cell: string): boolean =>
  /^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(cell) || infinite.test(cell)
const isInteger = (cell: string): boolean =>
  /^\s*[-+]?\d+\s*$/.test(cell) &&
  BigInt.asIntN(64, BigInt(cell.replace("+", ""))) === BigInt(cell.replace("+", ""))
const isTruth = (cell: string): boolean => /^(?:true|True|TRUE|false|False|FALSE)$/.test(cell)

const floatOf = (cell: string): number | Float =>
  infinite.test(cell)
    ? Number.POSITIVE_INFINITY * (cell.trim().startsWith("-") ? -1 : 1)
    : float(Number(cell))

const integerOf = (cell: string): number | bigint =>
  Number.isSafeInteger(Number(cell)) ? Number(cell) : BigInt(cell.trim().replace("+", ""))

/** How the cells of a column are read. */
const kindOf = (column: ReadonlyArray<string>): ((cell: string) => unknown) => {
  const present = column.filter((cell) => !nothing.has(cell))
  const whole = present.length === column.length
  if (present.every(isNumber)) return whole && present.every(isInteger) ? integerOf : floatOf
  return present.every(isTruth) ? (cell) => cell.toLowerCase() === "true" : (cell) => cell
}

/** Names of columns: those without one and those of one name get a number. */
const named = (names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const seen = new Map<string, number>()
  return names.map((given, i) => {
    const name = given === "" ? `Unnamed: ${i}` : given
    const before = entryOr(seen, name, 0)
    seen.set(name, before + 1)
    return before === 0 ? name : `${name}.${before}`
  })
}

/** Rows of a file; `header` names the columns of one that does not begin with their names. Throws where a line is too long. */
export const rows = (
  text: string,
  options: { readonly separator?: string; readonly header?: ReadonlyArray<string> } = {},
): ReadonlyArray<Row> => {
  const all = cells(text, options.separator)
  const names = named(options.header ?? all[0] ?? [])
  const body = options.header === undefined ? all.slice(1) : all
  const long = body.findIndex((line) => line.length > names.length)
  if (long >= 0) {
    throw new Error(`row ${long} has ${body[long]?.length} cells, the columns are ${names.length}`)
  }
  const kinds = names.map((_, column) => kindOf(body.map((line) => atOr(line, column, ""))))
  const value = (cell: string, column: number) => (nothing.has(cell) ? null : kinds[column]?.(cell))
  return body.map((line) => Object.fromEntries(names.map((name, i) => [name, value(atOr(line, i, ""), i)])))
}
