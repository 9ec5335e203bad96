/**
 * Match of answers that are mostly numbers: equal within a relative tolerance, or equal as texts where either is none.
 *
 * Currency signs, thousands separators, a percent sign and accounting's parentheses for negative numbers do not count;
 * a scale word ("million") does not multiply.
 */
import * as Result from "effect/Result"
import type { Compare } from "./ExactMatch.ts"
import * as PythonText from "./PythonText.ts"

/** The number a text states: the whole of it, but for signs that do not count. */
export const number = (text: string): number | undefined => {
  const plain = PythonText.strip(text).replaceAll(/[$€£¥,%\s]/g, "")
  const negative = /^\((.*)\)$/.exec(plain)
  const digits = negative?.[1] ?? plain
  if (!/^[-+]?(\d+\.?\d*|\.\d+)$/.test(digits)) return undefined
  return negative === null ? Number(digits) : -Number(digits)
}

/** The comparison within `tolerance`, relative to the reference; 0.01 unless the metric says otherwise. */
export const make = (given: Readonly<Record<string, unknown>>): Result.Result<Compare, string> => {
  const unknown = Object.keys(given).find((key) => key !== "tolerance")
  if (unknown !== undefined) return Result.fail(`${unknown}: unknown; numeric_match takes tolerance`)
  const tolerance = given["tolerance"] ?? 0.01
  if (typeof tolerance !== "number" || tolerance < 0)
    return Result.fail("tolerance: expected a number of at least 0")
  return Result.succeed((prediction, reference) => {
    const [got, wanted] = [number(prediction), number(reference)]
    if (got !== undefined && wanted !== undefined) {
      return Number(Math.abs(got - wanted) <= tolerance * Math.abs(wanted))
    }
    const fold = (text: string) => PythonText.strip(text).toLowerCase().replace(/\.$/, "")
    return Number(fold(prediction) === fold(reference))
  })
}
