/** HTML by hand, where every text that is not markup is escaped. */
import { atOr } from "@hila/core/Lookup"

/** A text that may stand between tags and in quoted attributes. */
export const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** Whether a cell reads as a figure: it is set flush right. */
const isFigure = (cell: string): boolean =>
  /^[-−+]?[.\d][^a-zA-Z]*( ?(%|s|ms|min|h|B|[KMGT]iB))?$/.test(cell.trim())

/** Texts of more characters are set in several lines. */
const longest = 44

const cell = (tag: "td" | "th", text: string, right: boolean): string => {
  const kind = right ? "figure" : text.length > longest ? "long" : ""
  return `<${tag}${kind === "" ? "" : ` class="${kind}"`}>${escape(text)}</${tag}>`
}

/** A table; columns in which all filled cells are figures are set flush right. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const right = head.map((_, column) => {
    const filled = rows.map((row) => atOr(row, column, "")).filter((text) => text !== "")
    return filled.length > 0 && filled.every(isFigure)
  })
  const line = (tag: "td" | "th", cells: ReadonlyArray<string>) =>
    `<tr>${cells.map((text, column) => cell(tag, text, atOr(right, column, false))).join("")}</tr>`
  const body = rows.map((row) => line("td", row)).join("\n")
  const titles = head.some((text) => text !== "") ? `<thead>${line("th", head)}</thead>` : ""
  return `<div class="scroll"><table>${titles}<tbody>\n${body}\n</tbody></table></div>`
}

/** A part that is folded away until it is asked for. */
export const details = (title: string, content: string): string =>
  `<details><summary>${escape(title)}</summary>\n${content}\n</details>`
