/** New JSON values in the layout of the file that they go into. */
import { type Entry, entriesOf } from "./jsonScan.ts"

/** How a value, and the entries of a container, are laid out at one place of a file. */
export interface Layout {
  /** Between a key and its value. */
  readonly colon: string
  /** Between two entries. */
  readonly between: string
  /** After the opening and before the closing bracket of the container. */
  readonly around: readonly [open: string, close: string]
  /** What begins the line of the value, or undefined where a value stands on one line. */
  readonly line: string | undefined
  readonly inline: string
  readonly unit: string
}

/** The indentation of the entry that begins at `at`; undefined where it does not begin its line. */
const indentOf = (text: string, at: number): string | undefined => {
  const before = text.slice(text.lastIndexOf("\n", at - 1) + 1, at)
  return /^[ \t]*$/.test(before) ? before : undefined
}

const first = (text: string, { start }: Entry): Entry | undefined =>
  entriesOf(text, start).next().value ?? undefined

/** Whether a container with something in it stands on one line. */
const isFlat = (text: string, { end, start }: Entry): boolean =>
  /^[[{]\s*[^\s\]}]/.test(text.slice(start, end)) && !text.slice(start, end).includes("\n")

/**
 * The layout at an entry of the container that `parents`, from the root down, end with; without an entry the container
 * is empty. A new value is flat where the entry's is.
 */
export const layoutAt = (text: string, parents: ReadonlyArray<Entry>, entry: Entry | undefined): Layout => {
  const [root, container] = [parents[0], parents.at(-1)]
  const top = root === undefined ? undefined : first(text, root)
  const colon = top === undefined || top.keyEnd === top.at ? ": " : text.slice(top.keyEnd, top.start)
  const inline = colon.endsWith(" ") ? ", " : ","
  const unit = (top === undefined ? undefined : indentOf(text, top.at)) ?? "  "
  const newline = text.includes("\r\n") ? "\r\n" : "\n"
  const outer = container === undefined ? "" : indentOf(text, container.at)
  const indent =
    entry !== undefined ? indentOf(text, entry.at) : outer === undefined ? undefined : outer + unit
  if (indent === undefined) return { colon, between: inline, around: ["", ""], line: undefined, inline, unit }
  const line = newline + indent
  return {
    colon,
    between: `,${line}`,
    around: [line, `${newline}${outer ?? ""}`],
    line: entry !== undefined && isFlat(text, entry) ? undefined : line,
    inline,
    unit,
  }
}

/** A value as JSON, with the words of Python's for numbers that JSON has none for. */
export const print = (value: unknown, { colon, inline, line, unit }: Layout): string => {
  const list = (open: string, items: ReadonlyArray<string>, close: string, at: string | undefined) => {
    if (items.length === 0) return open + close
    if (at === undefined) return open + items.join(inline) + close
    return `${open}${at}${unit}${items.join(`,${at}${unit}`)}${at}${close}`
  }
  const at = (each: unknown, own: string | undefined): string => {
    const inner = own === undefined ? undefined : own + unit
    if (typeof each === "number" && !Number.isFinite(each)) return String(each)
    if (typeof each !== "object" || each === null) return JSON.stringify(each)
    if (Array.isArray(each))
      return list(
        "[",
        each.map((item) => at(item, inner)),
        "]",
        own,
      )
    const members = Object.entries(each).filter(([, member]) => member !== undefined)
    return list(
      "{",
      members.map(([key, member]) => JSON.stringify(key) + colon + at(member, inner)),
      "}",
      own,
    )
  }
  return at(value, line)
}
