/**
 * Comma-separated values (RFC 4180), with column types as the data-set loaders of Python infer them.
 *
 * A column whose cells are all numbers becomes numbers, any other stays text; an empty cell is null.
 */
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

const isNumber = (cell: string): boolean => /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(cell.trim())

/** Rows of a file; `header` names the columns of one that does not begin with their names. */
export const rows = (
  text: string,
  options: { readonly separator?: string; readonly header?: ReadonlyArray<string> } = {},
): ReadonlyArray<Row> => {
  const all = cells(text, options.separator)
  const names = options.header ?? all[0] ?? []
  const body = options.header === undefined ? all.slice(1) : all
  const numeric = names.map((_, column) =>
    body.every((line) => (line[column] ?? "") === "" || isNumber(line[column] ?? "")),
  )
  const value = (cell: string | undefined, column: number) => {
    if (cell === undefined || cell === "") return null
    return numeric[column] === true ? Number(cell) : cell
  }
  return body.map((line) => Object.fromEntries(names.map((name, i) => [name, value(line[i], i)])))
}
