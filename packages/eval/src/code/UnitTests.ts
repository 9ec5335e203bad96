/**
 * Unit tests of answers: which of them are programs that pass the tests that came with their prompts.
 *
 * What is run is a program made of the answer, then the tests (`FunctionalCorrectness`), in a sandbox. Nothing is known here
 * of tasks or of golden data.
 */
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import type { EvalError } from "../EvalError.ts"
import * as FunctionalCorrectness from "./FunctionalCorrectness.ts"
import type { Language } from "./Interpreters.ts"
import * as Limits from "./Limits.ts"
import type { Sandbox } from "./Sandbox.ts"

/**
 * What of an answer is the program: the `response`; its prompt and the response, of which it is the `continuation`; or the
 * first fenced `block` of code in the response, all of it where there is none.
 */
export const shapes = ["response", "continuation", "block"] as const
export type Shape = (typeof shapes)[number]

/** An answer with the code that fails if it is wrong. */
export interface Tested {
  readonly prompt: string
  readonly response: string
  readonly tests: string
}

/** How answers become programs, and what those may use. */
export interface Options {
  readonly language: Language
  /** `response` by default. */
  readonly shape?: Shape
  /** Strings that end answers and are no part of the program. */
  readonly stop?: ReadonlyArray<string>
  /** Seconds for each program, 3 by default. */
  readonly seconds?: number
}

const fenced = /```[^\n]*\n([\s\S]*?)(?:```|$)/

/** The program of an answer, without its tests. */
export const programOf = (
  { prompt, response }: Omit<Tested, "tests">,
  { shape = "response", stop = [] }: Pick<Options, "shape" | "stop">,
): string => {
  const [end = ""] = stop.filter((text) => response.endsWith(text)).toSorted((a, b) => b.length - a.length)
  const own = end === "" ? response : response.slice(0, -end.length)
  if (shape === "continuation") return prompt + own
  return shape === "block" ? (fenced.exec(own)?.[1] ?? own) : own
}

/** Whether each answer passes its tests, in their order. */
export const judge = Effect.fn("UnitTests.judge")(function* (
  sandbox: Sandbox,
  answers: ReadonlyArray<Tested>,
  options: Options,
): Effect.fn.Return<ReadonlyArray<boolean>, EvalError> {
  const { language, seconds = Limits.standard.seconds } = options
  const verdicts = yield* Effect.forEach(
    answers,
    (answer) => {
      const candidates = [programOf(answer, options)]
      const problem = { language, candidates, tests: answer.tests }
      return FunctionalCorrectness.judge(sandbox, problem, { ...Limits.standard, seconds })
    },
    { concurrency: availableParallelism() },
  )
  return verdicts.flat()
})
