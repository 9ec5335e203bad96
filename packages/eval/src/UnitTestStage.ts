/**
 * Unit tests as a pipeline stage: verdicts on an expert's answers, for golden data of programs.
 */
import { Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Answer, Question } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { languages } from "./code/Interpreters.ts"
import * as Sandbox from "./code/Sandbox.ts"
import * as UnitTests from "./code/UnitTests.ts"
import { EvalError } from "./EvalError.ts"

const refuse = (problem: string) => new EvalError({ subject: "unit tests", problem })

/** Answers that are run, and checkpointed, together. */
const chunkSize = 64

/**
 * Whether answers pass their questions' tests: a question's `answer` is the program that fails after a wrong answer. Refused
 * unless `allowCode` is true; then they run in the sandbox, which shows first that it holds. Checkpointed chunk by chunk.
 */
export const unitTests = Stage.make({
  name: "unit-tests",
  version: 2,
  inputs: { answers: Answer.artifact, questions: Question.artifact },
  params: {
    language: Schema.Literals(languages),
    shape: Schema.optionalKey(Schema.Literals(UnitTests.shapes)),
    stop: Schema.optionalKey(Schema.Array(Schema.String)),
    seconds: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
    allowCode: Schema.optionalKey(Schema.Boolean),
  },
  output: Answer.verdicts,
  run: Effect.fn(function* ({ answers, questions }, { allowCode = false, ...options }) {
    if (!allowCode) {
      const problem = "they run programs a model wrote; allow it (allowCode), and they run in a sandbox"
      return yield* refuse(problem)
    }
    if (answers.length !== questions.length) {
      return yield* refuse(
        `${answers.length} answers to ${questions.length} questions; give the questions that were asked`,
      )
    }
    const untested = questions.findIndex(({ answer }) => answer.trim() === "")
    if (untested >= 0) {
      return yield* refuse(
        `question ${untested + 1} comes without tests; name the column that has them as the answer of the prompts`,
      )
    }
    const tested = questions.map(({ answer, prompt }, i) => ({
      prompt,
      response: at(answers, i).response,
      tests: answer,
    }))
    const sandbox = yield* Sandbox.make
    const starts = Array.from({ length: Math.ceil(tested.length / chunkSize) }, (_, i) => i * chunkSize)
    const verdicts = yield* Stage.forEach(
      starts,
      (start) => UnitTests.judge(sandbox, tested.slice(start, start + chunkSize), options),
      { part: (start) => `answers-${start}`, output: Answer.verdicts },
    )
    return verdicts.flat()
  }),
})
