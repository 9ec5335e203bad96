/** Values as Python prints them, and what templates read them from. Apart from the engine, which loads slowly. */

export type Row = Readonly<Record<string, unknown>>

/** A name that the template uses and the row does not have. */
export class Undefined extends Error {
  readonly variable: string
  constructor(variable: string) {
    super(`${variable} is undefined`)
    this.variable = variable
  }
}

/** A string as Python's repr writes it. */
const quoted = (text: string): string => {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t")
    .replaceAll("\r", "\\r")
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote
}

/** A value as Python's str writes it; `nested` as repr does. */
export const python = (value: unknown, nested = false): string => {
  if (value === null || value === undefined) return "None"
  if (typeof value === "boolean") return value ? "True" : "False"
  if (typeof value === "string") return nested ? quoted(value) : value
  if (Array.isArray(value)) return `[${value.map((element) => python(element, true)).join(", ")}]`
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([key, element]) => `${quoted(key)}: ${python(element, true)}`)
    return `{${entries.join(", ")}}`
  }
  return typeof value === "number" || typeof value === "bigint" ? String(value) : ""
}
