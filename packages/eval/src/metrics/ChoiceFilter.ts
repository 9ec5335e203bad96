/**
 * Finds which choice a generated text names: `multi_choice_regex` of the reference harness.
 *
 * A choice is named by what the expression finds, else by its own text, else by its letter after a colon; answers are
 * letters in parentheses, (A) for the first. The document's column `choices` has the choices.
 */
import * as Result from "effect/Result"
import * as PythonRegex from "./PythonRegex.ts"
import * as PythonText from "./PythonText.ts"

/** The column of a document that has its choices. */
export const column = "choices"

export const takes = [
  "regex_pattern",
  "group_select",
  "fallback",
  "ignore_case",
  "ignore_punctuation",
  "regexes_to_ignore",
] as const

/** The match that is picked, its first group that is not empty; "" where there is none. */
const find = (expression: RegExp, text: string, select: number): string => {
  const groups = PythonRegex.findAll(expression, text).at(select)
  return PythonText.strip(groups?.find((group) => group !== "") ?? "")
}

const escaped = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, "\\$&")

/** The letter of a choice, in parentheses. */
const letter = (index: number): string => `(${String.fromCodePoint(65 + index)})`

/** Reads a text's choice, or says what is wrong with the arguments. */
export const make = (
  given: Readonly<Record<string, unknown>>,
): Result.Result<(text: string, choices: ReadonlyArray<string>) => string, string> => {
  const { fallback = "[invalid]", group_select: select = 0, regex_pattern: pattern } = given
  const [ignored, ignoreCase, ignorePunctuation] = [
    given["regexes_to_ignore"] ?? [],
    given["ignore_case"] ?? false,
    given["ignore_punctuation"] ?? false,
  ]
  if (typeof pattern !== "string") return Result.fail("multi_choice_regex needs a regex_pattern")
  if (typeof select !== "number") return Result.fail("group_select: expected a number")
  if (!Array.isArray(ignored)) return Result.fail("regexes_to_ignore: expected a list of expressions")
  for (const [name, flag] of Object.entries({
    ignore_case: ignoreCase,
    ignore_punctuation: ignorePunctuation,
  })) {
    if (typeof flag !== "boolean") {
      return Result.fail(`${name}: expected true or false, got ${JSON.stringify(flag)}`)
    }
  }
  return Result.gen(function* () {
    const expression = yield* PythonRegex.make(pattern)
    const removed: Array<RegExp> = []
    for (const each of ignored) removed.push(yield* PythonRegex.make(String(each)))
    const clean = (text: string): string => {
      let result = removed.reduce((rest, each) => PythonRegex.substitute(each, rest, ""), text)
      if (ignoreCase === true) result = result.toLowerCase()
      // All of Unicode's punctuation here, where exact_match takes ASCII's.
      return ignorePunctuation === true ? result.replaceAll(/\p{P}/gu, "") : result
    }
    return (text: string, choices: ReadonlyArray<string>) => {
      const found = find(expression, text, select)
      if (found !== "") return found
      const texts = choices.map((choice) => clean(PythonText.strip(choice)))
      // The longest first, or a choice with which another begins would hide it.
      const branches = texts.map(escaped).toSorted((a, b) => b.length - a.length)
      const named = find(new RegExp(branches.join("|"), "g"), clean(text), select)
      const place = texts.lastIndexOf(named)
      if (named !== "") return place < 0 ? named : letter(place)
      const letters = choices.map((_, i) => letter(i).slice(1, -1))
      const lettered = find(new RegExp(`:${PythonText.spaces}(${letters.join("|")})`, "g"), text, select)
      return lettered === "" ? String(fallback) : `(${lettered})`
    }
  })
}
