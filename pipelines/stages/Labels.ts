/**
 * Right answers in place of the specialists' own, where they are known: what golden data costs against labels.
 */
import { Stage } from "@hila/core"
import { MicroRules, Stages as Evaluation } from "@hila/eval"
import { Question } from "@hila/model"
import { GoldenFile, Stages as Scoring } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Family } from "./Family.ts"
import type { Golden } from "./Tuned.ts"

const labels = Stage.make({
  name: "right-answers",
  version: 1,
  inputs: { questions: Question.artifact },
  params: { end: Schema.String },
  output: GoldenFile.artifact,
  run: ({ questions }, { end }) =>
    Effect.succeed(questions.map(({ answer, prompt }) => ({ prompt, response: `${answer}${end}` }))),
})

/** The micro family's questions of scoring with their right answers; nothing of a family whose prompts have none. */
export const rightAnswers = (
  { asked, base, domains }: Family,
  { golden: take, seed }: { readonly golden: number; readonly seed: number },
): ReadonlyArray<Golden> =>
  domains.flatMap((name, i) => {
    const domain = MicroRules.domains.find((each) => each === name)
    if (domain === undefined || asked[i]?.questions === undefined) return []
    const questions = Evaluation.questions(
      {},
      { domain, side: "train", seed, skip: 0, take },
      `${domain} train`,
    )
    const lines = labels({ questions }, { end: "\n" }, `${domain} labelled`)
    return Scoring.examples({ expert: base, lines }, {}, `${domain} labelled`)
  })
