/**
 * Examples: a prompt with its response as tokens. The loss of an example is over its response only.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** `tokens` = prompt tokens then response tokens; the response is `tokens[promptLength..]`, the loss is over it alone. */
export const Example = Schema.Struct({
  prompt: Schema.String,
  response: Schema.String,
  tokens: Schema.Array(Count),
  promptLength: Count,
})
export type Example = typeof Example.Type

/** A set of examples, one JSON line each. */
export const artifact: Artifact.Artifact<ReadonlyArray<Example>> = Artifact.jsonl("examples", Example, {
  summary: (examples) => {
    const responses = examples.reduce(
      (sum, { promptLength, tokens }) => sum + tokens.length - promptLength,
      0,
    )
    return `${examples.length} examples, ${responses} response tokens`
  },
})
