/**
 * Texts of JSON with Python's kinds of numbers: `18.0` is a float, `18` none, integers above 2^53 stay exact, and NaN and
 * Infinity are read as Python writes them. `JSON.parse` alone tells none of these apart.
 */
import { Float, float } from "../internal/python.ts"

/** Stands for NaN, which JSON lacks; no number is written so. */
const nan = "-0e777"
const outside: Readonly<Record<string, string>> = { NaN: nan, Infinity: "1e999", "-Infinity": "-1e999" }

/** A number from its digits; integers beyond 64 bits are floats, as Arrow has them. */
const numberOf = (value: number, digits: string): number | bigint | Float => {
  if (digits === nan) return Number.NaN
  if (/[.eE]/.test(digits)) return float(value)
  if (Number.isSafeInteger(value)) return value
  const exact = BigInt(digits)
  return BigInt.asIntN(64, exact) === exact ? exact : float(value)
}

type Reviver = (key: string, value: unknown, context: { readonly source: string }) => unknown
const revive: Reviver = (_key, value, { source }) =>
  typeof value === "number" ? numberOf(value, source) : value

/** Whether there may be a number that `JSON.parse` alone would change. */
const delicate = /\d[.eE]|\d{16}/

const parseNumbers = (text: string): unknown =>
  // The third argument of a reviver is younger than the types.
  delicate.test(text)
    ? JSON.parse(text, revive as (key: string, value: unknown) => unknown)
    : JSON.parse(text)

/** The value of a text; throws what is wrong with it. */
export const parse = (text: string): unknown => {
  try {
    return parseNumbers(text)
  } catch (cause) {
    const plain = text.replaceAll(
      /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g,
      (token) => outside[token] ?? token,
    )
    if (plain === text) throw cause
    return parseNumbers(plain)
  }
}
