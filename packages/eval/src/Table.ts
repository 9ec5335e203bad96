/**
 * Aligned tables of text: the first column to the left, all others to the right, a rule under the head.
 *
 * Widths count characters, which is right for everything but double-width scripts.
 */
import { at, atOr } from "@hila/core/Lookup"

/** Renders head and body rows of equal length as lines without trailing space. */
export const render = (
  head: ReadonlyArray<ReadonlyArray<string>>,
  body: ReadonlyArray<ReadonlyArray<string>>,
): string => {
  const rows = [...head, ...body]
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => [...atOr(row, column, "")].length)),
  )
  const pad = (text: string, column: number) => {
    const space = " ".repeat(Math.max(0, at(widths, column) - [...text].length))
    return column === 0 ? text + space : space + text
  }
  const line = (row: ReadonlyArray<string>) => row.map(pad).join("  ").trimEnd()
  const rule = widths.map((width) => "─".repeat(width)).join("──")
  return [...head.map(line), rule, ...body.map(line)].join("\n")
}
