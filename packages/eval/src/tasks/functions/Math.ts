/**
 * Competition mathematics (Hendrycks et al., 2021): answers in \boxed{…}, compared as texts after normalisation.
 *
 * Two answers are equal if their normalised LaTeX is the same text; nothing is evaluated, so that x+1 and 1+x differ,
 * as they do in the reference harness's task.
 */
import { at, known } from "@hila/core/Lookup"
import * as Template from "../Template.ts"
import type { Row } from "../Template.ts"

/** The index after the brace that closes the one at `open`. */
const closing = (text: string, open: number): number => {
  let depth = 0
  for (let i = open; i < text.length; i++) {
    if (text[i] === "{") depth++
    if (text[i] === "}" && --depth === 0) return i + 1
  }
  return -1
}

/** What the last \boxed{…} (or \fbox{…}, or \boxed followed by a space) of a solution holds; "" without one. */
export const boxed = (solution: string): string => {
  const at = Math.max(solution.lastIndexOf("\\boxed"), solution.lastIndexOf("\\fbox"))
  if (at < 0) return ""
  const open = solution.indexOf("{", at)
  if (solution.startsWith("\\boxed ", at)) return known(solution.slice(at + 7).split("$", 1)[0]).trim()
  const end = open < 0 ? -1 : closing(solution, open)
  return end < 0 ? "" : solution.slice(open + 1, end - 1)
}

/** \frac12 and \frac1{2} as \frac{1}{2}. */
const fractions = (text: string): string => {
  const argument = (rest: string): readonly [string, string] => {
    const end = rest.startsWith("{") ? closing(rest, 0) : 1
    return end < 1
      ? [rest, ""]
      : [rest.startsWith("{") ? rest.slice(0, end) : `{${rest.slice(0, 1)}}`, rest.slice(end)]
  }
  const [head = "", ...tails] = text.split("\\frac")
  return tails.reduce((done, tail) => {
    if (tail.length < 2) return `${done}\\frac${tail}`
    const [over, rest] = argument(tail)
    const [under, after] = rest === "" ? ["", ""] : argument(rest)
    return `${done}\\frac${over}${under}${after}`
  }, head)
}

/** An answer in its normal form. */
export const normal = (answer: string): string => {
  let text = answer
    .replaceAll("\n", "")
    .replaceAll("\\!", "")
    .replaceAll("\\\\", "\\")
    .replaceAll(/\\[td]frac/g, "\\frac")
    .replaceAll(/\\(left|right)(?![a-z])/g, "")
    .replaceAll("^{\\circ}", "")
    .replaceAll("^\\circ", "")
    .replaceAll("\\$", "")
  // A unit is text to the right of the number.
  text = at(text.split("\\text{ ", 2), 0)
  text = text.replaceAll("\\%", "").replaceAll("%", "")
  text = text.replaceAll(" .", " 0.").replaceAll("{.", "{0.").replace(/^\./, "0.")
  // A short name on the left of an equation: k = 3.
  const sides = text.split("=")
  if (sides.length === 2 && at(sides, 0).length <= 2) text = at(sides, 1)
  text = text.replaceAll(/\\sqrt([^{\s])/g, "\\sqrt{$1}").replaceAll(" ", "")
  text = fractions(text)
  if (text === "0.5") return "\\frac{1}{2}"
  const [, over, under] = /^(-?\d+)\/(-?\d+)$/.exec(text) ?? []
  return over === undefined || under === undefined ? text : `\\frac{${over}}{${under}}`
}

/** The part of a response that is its answer: between the first and the last dollar sign, else all of it. */
const answerOf = (response: string): string => {
  const [first, last] = [response.indexOf("$"), response.lastIndexOf("$")]
  return first >= 0 && last > first ? response.slice(first + 1, last) : response
}

const withAnswer = (row: Row): Row => ({ ...row, answer: boxed(Template.text(row["solution"])) })

export const processes: Readonly<Record<string, (rows: ReadonlyArray<Row>) => ReadonlyArray<Row>>> = {
  "hila.hendrycks_math": (rows) => rows.map(withAnswer),
}

export const results: Readonly<
  Record<
    string,
    (row: Row, responses: ReadonlyArray<{ readonly text: string }>) => Readonly<Record<string, number>>
  >
> = {
  "hila.hendrycks_math": (row, responses) => {
    const response = at(responses, 0).text
    return { exact_match: Number(normal(answerOf(response)) === normal(String(row["answer"]))) }
  },
}
