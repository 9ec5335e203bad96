/**
 * Functional correctness: candidates are judged by running them with a problem's own tests.
 *
 * A candidate is right if candidate, newline and tests, run as one program in the sandbox, run to their end without an error
 * (Chen et al. 2021, section 2.3, as its reference executes them). The same program is run once, however often it was
 * sampled.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import type { EvalError } from "../EvalError.ts"
import type { Language } from "./Interpreters.ts"
import type { Limits } from "./Limits.ts"
import * as PassAtK from "./PassAtK.ts"
import * as Sandbox from "./Sandbox.ts"

/** Samples for one problem, with the tests that judge them. */
export interface Problem {
  readonly language: Language
  /** Programs without their tests; at least one. */
  readonly candidates: ReadonlyArray<string>
  /** Code that fails if the candidate before it is wrong. */
  readonly tests: string
}

/** Whether each candidate of a problem is right, in their order. */
export const judge = Effect.fn("FunctionalCorrectness.judge")(function* (
  sandbox: Sandbox.Sandbox,
  { candidates, language, tests }: Problem,
  limits?: Limits,
): Effect.fn.Return<ReadonlyArray<boolean>, EvalError> {
  const distinct = [...new Set(candidates)]
  const verdicts = yield* Effect.forEach(
    distinct,
    (candidate) =>
      Effect.map(sandbox.run({ language, source: `${candidate}\n${tests}` }, limits), Sandbox.passed),
    { concurrency: availableParallelism() },
  )
  return candidates.map((candidate) => at(verdicts, distinct.indexOf(candidate)))
})

/** pass@k of one problem from the verdicts on its samples; k at most their number. */
export const passAtK = (verdicts: ReadonlyArray<boolean>, k: number): number =>
  PassAtK.estimate({ samples: verdicts.length, correct: verdicts.filter((right) => right).length, k })
