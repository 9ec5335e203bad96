/**
 * Programs of a task: what is run to judge the responses to its documents.
 *
 * A program is a field of the document (a function's head, say), the response, and the document's target, which holds
 * the tests. Verdicts are the sandbox's; nothing here runs without one.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { EvalError } from "../EvalError.ts"
import type { Item } from "../requests/Items.ts"
import * as Template from "../tasks/Template.ts"
import * as FunctionalCorrectness from "./FunctionalCorrectness.ts"
import { languages, type Language } from "./Interpreters.ts"
import * as Lodash from "./Lodash.ts"
import type { Sandbox } from "./Sandbox.ts"

/** How a task's programs are put together. */
export interface Programs {
  readonly language: Language
  /** The field that stands before the response; none, and the response is the whole candidate. */
  readonly before: string | undefined
  /** Source before all of it. */
  readonly prelude: string
}

/**
 * The programs of a metric's arguments: `before` (a field's name), `language` (python by default), and `provides`, which
 * can be lodash for JavaScript.
 */
export const make = (given: Readonly<Record<string, unknown>>): Result.Result<Programs, string> => {
  const { before, language = "python", provides, ...rest } = given
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined)
    return Result.fail(`does not take ${unknown}; it takes before, language and provides`)
  if (before !== undefined && typeof before !== "string")
    return Result.fail("before: expected a field's name")
  if (provides !== undefined && (provides !== "lodash" || language !== "javascript"))
    return Result.fail("provides: expected lodash, for language: javascript")
  const known = languages.find((name) => name === language)
  return known === undefined
    ? Result.fail(`language: expected ${languages.join(" or ")}, got ${JSON.stringify(language)}`)
    : Result.succeed({ language: known, before, prelude: provides === undefined ? "" : Lodash.prelude })
}

const testsOf = ({ target }: Item): string => (Array.isArray(target) ? target.join("\n") : String(target))

/** Which of each item's responses pass its tests, in the order of items and responses. */
export const judge = Effect.fn("Programs.judge")(function* (
  sandbox: Sandbox,
  { before, language, prelude }: Programs,
  items: ReadonlyArray<Item>,
  responses: ReadonlyArray<ReadonlyArray<string>>,
): Effect.fn.Return<ReadonlyArray<ReadonlyArray<boolean>>, EvalError> {
  return yield* Effect.forEach(
    items,
    (item, i) => {
      const head = before === undefined ? "" : Template.text(item.row[before])
      const candidates = at(responses, i).map((response) => prelude + head + response)
      return FunctionalCorrectness.judge(sandbox, { language, candidates, tests: testsOf(item) })
    },
    { concurrency: 2 },
  )
})
