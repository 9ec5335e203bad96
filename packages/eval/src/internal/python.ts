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

/** A float whose value is an integer: `18.0`, which a number of JavaScript cannot tell from `18`. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
  valueOf(): number {
    return this.value
  }
  toJSON(): number {
    return this.value
  }
}

/** A list that Python prints in parentheses. */
export class Tuple extends Array<unknown> {}

/** A Python float: a number where that says it all, else a `Float`. */
export const float = (value: number): number | Float => (Number.isInteger(value) ? new Float(value) : value)

/** Whether a value is a float of Python's. */
export const isFloat = (value: unknown): boolean =>
  value instanceof Float || (typeof value === "number" && !Number.isInteger(value))

/** Whether a value is a number of Python's, truth values apart. */
export const isNumber = (value: unknown): value is number | bigint | Float =>
  typeof value === "number" || typeof value === "bigint" || value instanceof Float

/** A float as Python's repr writes it: the shortest digits, an exponent below 1e-4 and from 1e16 on. */
const floatText = (value: number): string => {
  if (Number.isNaN(value)) return "nan"
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf"
  const [mantissa = "", exponent = ""] = value.toExponential().split("e")
  const power = Number(exponent)
  if (power < -4 || power >= 16) {
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`
  }
  const digits = Object.is(value, -0) ? "-0" : String(value)
  // Below 1e-6 the two languages write exponents, which is done with by now.
  return Number.isInteger(value) ? `${digits}.0` : digits
}

const named: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r" }

const escaped = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  const [mark, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8]
  return named[character] ?? `\\${mark}${code.toString(16).padStart(digits, "0")}`
}

/** A string as Python's repr writes it: what cannot be printed is escaped. */
const quoted = (text: string): string => {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const inner = text.replaceAll(/[\\\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, escaped)
  return quote + (quote === "'" ? inner.replaceAll("'", "\\'") : inner) + quote
}

/** A value as Python's str writes it; `nested` as repr does. */
export const python = (value: unknown, nested = false): string => {
  if (value === null || value === undefined) return "None"
  if (typeof value === "boolean") return value ? "True" : "False"
  if (typeof value === "string") return nested ? quoted(value) : value
  if (isFloat(value)) return floatText(Number(value))
  if (Array.isArray(value)) {
    const items = value.map((element) => python(element, true)).join(", ")
    return value instanceof Tuple ? `(${items}${value.length === 1 ? "," : ""})` : `[${items}]`
  }
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([key, element]) => `${quoted(key)}: ${python(element, true)}`)
    return `{${entries.join(", ")}}`
  }
  return typeof value === "number" || typeof value === "bigint" ? String(value) : ""
}
