/**
 * Questions: a prompt with the answer that counts as right, in a domain. What a model says to it is an `Example`.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"

/** `prompt` is what the model sees; `answer` is compared with what it says. */
export const Question = Schema.Struct({
  domain: Schema.String,
  prompt: Schema.String,
  answer: Schema.String,
})
export type Question = typeof Question.Type

/** A set of questions, one JSON line each. */
export const artifact: Artifact.Artifact<ReadonlyArray<Question>> = Artifact.jsonl("questions", Question, {
  summary: (questions) => {
    const domains = [...new Set(questions.map(({ domain }) => domain))]
    return `${questions.length} questions${domains.length === 0 ? "" : ` of ${domains.join(", ")}`}`
  },
})
