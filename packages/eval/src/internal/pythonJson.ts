/** JSON as Python's `json.dumps` writes it, by which the reference harness writes and hashes documents. */
import type * as Schema from "effect/Schema"
import { isFloat, python, type Row } from "./python.ts"

/** The text of a value; letters beyond ASCII stay as they are. `indent` lays it out over lines. */
export const dump = (value: unknown, indent?: number, depth = 0): string => {
  if (value === null || value === undefined) return "null"
  if (typeof value === "boolean" || typeof value === "string") return JSON.stringify(value)
  if (isFloat(value)) return outside[python(value)] ?? python(value)
  if (typeof value === "number" || typeof value === "bigint") return String(value)
  const within = (items: ReadonlyArray<string>, open: string, close: string) => {
    if (items.length === 0) return open + close
    if (indent === undefined) return open + items.join(", ") + close
    const line = `\n${" ".repeat(indent * (depth + 1))}`
    return `${open}${line}${items.join(`,${line}`)}\n${" ".repeat(indent * depth)}${close}`
  }
  if (Array.isArray(value))
    return within(
      value.map((item) => dump(item, indent, depth + 1)),
      "[",
      "]",
    )
  const entries = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}: ${dump(item, indent, depth + 1)}`,
  )
  return within(entries, "{", "}")
}

const outside: Readonly<Record<string, string>> = { nan: "NaN", inf: "Infinity", "-inf": "-Infinity" }

/** A document as JSON alone has it: floats are numbers, what is no number is null. */
export const plain = (row: Row): Readonly<Record<string, Schema.Json>> =>
  JSON.parse(
    JSON.stringify(row, (_key, value: unknown) => (typeof value === "bigint" ? Number(value) : value)),
  )
