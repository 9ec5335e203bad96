/** Python's operators over plain values: integers of any size, floats, truth values as integers, texts by code points. */
import { atOr, known } from "@hila/core/Lookup"
import { Float, float, isFloat, isNumber, python, Tuple } from "./python.ts"

type Numeric = number | bigint | Float

const numeric = (value: unknown): Numeric | undefined => {
  if (typeof value === "boolean") return Number(value)
  return isNumber(value) ? value : undefined
}

const integer = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value

const kindOf = (value: unknown): string => {
  if (value === null) return "None"
  if (typeof value === "string") return "a text"
  if (typeof value === "boolean") return "a truth value"
  if (isNumber(value)) return isFloat(value) ? "a float" : "an integer"
  return Array.isArray(value) ? "a list" : "a dictionary"
}

const refuse = (operator: string, left: unknown, right: unknown): never => {
  throw new Error(`${operator} between ${kindOf(left)} and ${kindOf(right)} is not possible`)
}

/** Whether two values are equal: 1, 1.0 and True are one. */
export const equal = (left: unknown, right: unknown): boolean => {
  const [a, b] = [numeric(left), numeric(right)]
  if (a !== undefined && b !== undefined) return order(a, b) === 0
  if (Array.isArray(left) && Array.isArray(right)) {
    const alike = left instanceof Tuple === right instanceof Tuple
    return alike && left.length === right.length && left.every((item, i) => equal(item, right[i]))
  }
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null)
    return left === right
  const [one, two] = [Object.entries(left), right as Readonly<Record<string, unknown>>]
  return (
    one.length === Object.keys(two).length &&
    one.every(([key, item]) => Object.hasOwn(two, key) && equal(item, two[key]))
  )
}

const order = (a: Numeric, b: Numeric): number => {
  if (typeof a === "bigint" && typeof b === "bigint") return a < b ? -1 : Number(a > b)
  const [x, y] = [Number(a), Number(b)]
  return x < y ? -1 : x > y ? 1 : x === y ? 0 : Number.NaN
}

/** Texts in the order of their code points. */
const inOrder = (a: string, b: string): number => {
  const [one, two] = [[...a], [...b]]
  const at = one.findIndex((character, i) => character !== two[i])
  if (at < 0) return one.length - two.length
  return known(known(one[at]).codePointAt(0)) - (atOr(two, at, "").codePointAt(0) ?? -1)
}

/** Below 0 where the first comes first; throws where the two have no order. */
export const compare = (left: unknown, right: unknown, operator = "<"): number => {
  const [a, b] = [numeric(left), numeric(right)]
  if (a !== undefined && b !== undefined) return order(a, b)
  if (typeof left === "string" && typeof right === "string") return inOrder(left, right)
  if (!Array.isArray(left) || !Array.isArray(right)) return refuse(operator, left, right)
  const at = left.findIndex((item, i) => i >= right.length || !equal(item, right[i]))
  if (at < 0) return left.length - right.length
  return at >= right.length ? 1 : compare(left[at], right[at], operator)
}

/** Whether a list, a text or the keys of a dictionary have a value. */
export const contains = (whole: unknown, part: unknown): boolean => {
  if (Array.isArray(whole)) return whole.some((item) => equal(item, part))
  if (typeof whole === "string" && typeof part === "string") return whole.includes(part)
  if (typeof whole === "object" && whole !== null && !(whole instanceof Float))
    return Object.hasOwn(whole, String(part))
  return refuse("in", part, whole)
}

const repeated = (left: unknown, right: unknown): unknown => {
  const [value, count] = typeof right === "number" ? [left, right] : [right, left]
  if (typeof count !== "number" || !Number.isInteger(count)) return undefined
  const times = Math.max(0, count)
  if (typeof value === "string") return value.repeat(times)
  return Array.isArray(value) ? Array.from({ length: times }, () => value).flat() : undefined
}

const whole: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "//": (a, b) => a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n),
  "%": (a, b) => ((a % b) + b) % b,
}

const real: Readonly<Record<string, (a: number, b: number) => number>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "//": (a, b) => Math.floor(a / b),
  "%": (a, b) => a - b * Math.floor(a / b),
  "**": (a, b) => a ** b,
}

const arithmetic = (operator: string, a: Numeric, b: Numeric): unknown => {
  if (["/", "//", "%"].includes(operator) && Number(b) === 0) throw new Error("division by zero")
  if (!isFloat(a) && !isFloat(b)) {
    const [x, y] = [BigInt(a as number | bigint), BigInt(b as number | bigint)]
    if (operator === "**" && y >= 0n) {
      if (y > 1000n) throw new Error(`the power ${String(y)} is too large`)
      return integer(x ** y)
    }
    const exact = whole[operator]
    if (exact !== undefined) return integer(exact(x, y))
  }
  const inexact = real[operator]
  return inexact === undefined ? undefined : float(inexact(Number(a), Number(b)))
}

/** The value of a binary operator of templates, apart from `and` and `or`. */
export const apply = (operator: string, left: unknown, right: unknown): unknown => {
  switch (operator) {
    case "==":
      return equal(left, right)
    case "!=":
      return !equal(left, right)
    case "<":
      return compare(left, right, operator) < 0
    case "<=":
      return compare(left, right, operator) <= 0
    case ">":
      return compare(left, right, operator) > 0
    case ">=":
      return compare(left, right, operator) >= 0
    case "in":
      return contains(right, left)
    case "not in":
      return !contains(right, left)
    case "~":
      return python(left) + python(right)
    default: {
      const [a, b] = [numeric(left), numeric(right)]
      if (a !== undefined && b !== undefined)
        return arithmetic(operator, a, b) ?? refuse(operator, left, right)
      if (operator === "+" && typeof left === "string" && typeof right === "string") return left + right
      if (operator === "+" && Array.isArray(left) && Array.isArray(right)) return [...left, ...right]
      return (operator === "*" ? repeated(left, right) : undefined) ?? refuse(operator, left, right)
    }
  }
}
