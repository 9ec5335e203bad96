/**
 * WikiText: pages of lines, and their tokenised text joined up as the reference harness joins it.
 *
 * What is asked is the joined text; what perplexity is per are words and bytes of the page as it was.
 */
import { entryOr } from "@hila/core/Lookup"
import type { Value } from "../../metrics/Aggregation.ts"
import * as PythonText from "../../metrics/PythonText.ts"
import * as Template from "../Template.ts"
import type { Row } from "../Template.ts"

const column = (row: Row, key: string): string => Template.text(entryOr(row, key, ""))

/** A page per article; elsewhere lines, with a heading ` = Title = ` before each article. */
export const pages = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> => {
  if (rows.some((row) => "page" in row)) return rows
  const found: Array<string> = []
  for (const row of rows) {
    const line = column(row, "text")
    if (/^ = [^=].*[^=] = $/.test(line)) found.push(line)
    else if (found.length > 0) found.push(`${found.pop()}\n${line}`)
  }
  return found.map((page) => ({ page }))
}

/** A pair of marks without the space inside them, from a pair up to the next closing mark. */
const inside = (open: string, close: string): readonly [RegExp, string] => {
  const [from, to] = [`\\${open}`, `\\${close}`]
  const literal = (mark: string) => (mark === "$" ? "$$" : mark)
  return [
    new RegExp(`${from}${PythonText.spaces}([^${to}]*?)${PythonText.spaces}${to}`, "g"),
    `${literal(open)}$1${literal(close)}`,
  ]
}

/** In the harness's order, which matters: each step sees what the one before left. */
const steps: ReadonlyArray<readonly [string | RegExp, string]> = [
  ["s '", "s'"],
  [/\/' [0-9]\//g, "/'[0-9]/"],
  ...["-", ",", "."].map((mark) => [` @${mark}@ `, mark] as const),
  ...[":", ";", ".", "!", "?", ","].map((mark) => [` ${mark} `, `${mark} `] as const),
  inside("(", ")"),
  inside("[", "]"),
  inside("{", "}"),
  inside('"', '"'),
  inside("'", "'"),
  ["= = = =", "===="],
  ["= = =", "==="],
  ["= =", "=="],
  [" ° ", "°"],
  [" \n", "\n"],
  ["\n ", "\n"],
  [" N ", " 1 "],
  [" 's", "'s"],
]

/** The text of a page that is asked. */
export const text = (row: Row): string =>
  steps.reduce((done, [from, to]) => done.replaceAll(from, to), column(row, "page"))

/** The log-likelihood with the words and the bytes of the page that it is per. */
export const counts = (
  row: Row,
  [response]: ReadonlyArray<{ readonly logLikelihood: number }>,
): Readonly<Record<string, Value>> => {
  const [page, logLikelihood] = [column(row, "page"), response?.logLikelihood ?? Number.NaN]
  const bytes = PythonText.bytes(page)
  return {
    word_perplexity: [logLikelihood, PythonText.words(page).length],
    byte_perplexity: [logLikelihood, bytes],
    bits_per_byte: [logLikelihood, bytes],
  }
}
