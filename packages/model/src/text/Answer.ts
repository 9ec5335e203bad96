/**
 * Answers: what a model said to questions, all of it and in their order, and verdicts on it.
 *
 * Golden data is chosen from them. What judges answers, by running programs for instance, and what chooses by the
 * verdicts need not know each other.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"

/** One answer: an `Example` that may be cut off, and why it ended. */
const Answer = Schema.Struct({
  prompt: Schema.String,
  response: Schema.String,
  tokens: Schema.Array(Schema.Int),
  promptLength: Schema.Int,
  end: Schema.Literals(["eos", "stop", "length"]),
})

/** Answers, one JSON line each. */
export const artifact: Artifact.Artifact<ReadonlyArray<typeof Answer.Type>> = Artifact.jsonl(
  "answers",
  Answer,
  {
    summary: (answers) => {
      const cut = answers.filter(({ end }) => end === "length").length
      return `${answers.length} answers${cut === 0 ? "" : `, ${cut} cut off`}`
    },
  },
)

/** Whether each answer is good enough, in the order of the questions. */
export const verdicts: Artifact.Artifact<ReadonlyArray<boolean>> = Artifact.json(
  "verdicts",
  Schema.Array(Schema.Boolean),
  {
    summary: (all) => `${all.filter((accepted) => accepted).length} of ${all.length} accepted`,
    metrics: (all) => ({ accepted: all.filter((accepted) => accepted).length }),
  },
)
