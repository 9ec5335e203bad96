/**
 * Exact match of a generated text with a reference, after the parts that a task says do not count are taken out of
 * both: expressions first, then case, punctuation, digits. Nothing else is trimmed.
 */
import * as Result from "effect/Result"
import { truthOf } from "../tasks/TaskConfig.ts"
import * as PythonRegex from "./PythonRegex.ts"
import * as PythonText from "./PythonText.ts"

export type Compare = (prediction: string, reference: string) => number

const flags = ["ignore_case", "ignore_punctuation", "ignore_numbers"] as const

/** The comparison that the arguments of a metric ask for, or what is wrong with them. */
export const make = (given: Readonly<Record<string, unknown>>): Result.Result<Compare, string> => {
  const ignored = given["regexes_to_ignore"] ?? []
  if (!Array.isArray(ignored)) return Result.fail("regexes_to_ignore: expected a list of expressions")
  const unknown = Object.keys(given).find((key) => ![...flags, "regexes_to_ignore"].includes(key))
  if (unknown !== undefined) {
    return Result.fail(`${unknown}: unknown; exact_match takes regexes_to_ignore, ${flags.join(", ")}`)
  }
  const odd = flags.find((flag) => given[flag] !== undefined && truthOf(given[flag]) === undefined)
  if (odd !== undefined) {
    return Result.fail(
      `${odd}: expected true or false (a text that says no is true to the harness), got ${JSON.stringify(given[odd])}`,
    )
  }
  return Result.gen(function* () {
    const expressions: Array<RegExp> = []
    for (const pattern of ignored) expressions.push(yield* PythonRegex.make(String(pattern)))
    const clean = (text: string): string => {
      let result = text
      for (const expression of expressions) result = PythonRegex.substitute(expression, result, "")
      if (truthOf(given["ignore_case"] ?? false) === true) result = result.toLowerCase()
      if (truthOf(given["ignore_punctuation"] ?? false) === true)
        result = result.replaceAll(PythonText.punctuation, "")
      if (truthOf(given["ignore_numbers"] ?? false) === true)
        result = result.replaceAll(PythonText.digits, "")
      return result
    }
    return (prediction: string, reference: string) => Number(clean(prediction) === clean(reference))
  })
}
