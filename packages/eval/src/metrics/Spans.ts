/**
 * Named entities as a text lists them: `format_span` of the reference harness.
 *
 * "Person: Ann $$ places: Kenya, none" becomes "per: ann $ loc: kenya": labels are brought to per, loc, org and date, and
 * each entity is given a label of its own. Everything is in small letters.
 */
import * as Result from "effect/Result"
import * as PythonRegex from "./PythonRegex.ts"
import * as PythonText from "./PythonText.ts"

/** What a label is written as; the order counts, as one is replaced after the other. */
const labels: ReadonlyArray<readonly [string, string]> = [
  ["person", "PER"],
  ["location", "LOC"],
  ["organization", "ORG"],
  ["counties", "LOC"],
  ["places", "LOC"],
  ["people", "PER"],
  ["persons", "PER"],
  ["company", "ORG"],
  ["country", "LOC"],
  ["continent", "LOC"],
  ["time", "DATE"],
  ["date", "DATE"],
  ["per", "PER"],
  ["loc", "LOC"],
  ["org", "ORG"],
]

const expression = (pattern: string): RegExp => Result.getOrThrow(PythonRegex.make(pattern))

/** The entities of a text, in one form. */
export const format = (text: string): string => {
  let labelled = text.toLowerCase()
  for (const [label, written] of labels) {
    labelled = PythonRegex.substitute(expression(String.raw`\b${label}\s*:`), labelled, `${written}:`)
  }
  const plain = PythonText.strip(
    labelled
      .replaceAll("$$", () => "$")
      .replace(/\$+$/, "")
      .replaceAll("\n", () => "$"),
  )
  return PythonRegex.findAll(expression(String.raw`\b(PER|LOC|ORG|DATE):\s*([^$]+)`), plain)
    .flatMap(([label = "", values = ""]) =>
      values
        .split(",")
        .map(PythonText.strip)
        .filter((entity) => entity !== "none")
        .map((entity) => `${label.toLowerCase()}: ${entity}`),
    )
    .join(" $ ")
}
