/**
 * What can go wrong in this package itself; a model's or a file's own failure keeps its own error.
 */
import * as Schema from "effect/Schema"

/** Experts, data or a bundle from which no answer can be had. */
export class CollabError extends Schema.TaggedError<CollabError>()("CollabError", {
  /** What was asked for, for example "features of start" or "bundle.json". */
  subject: Schema.String,
  /** What was expected, what was got, and what to do. */
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message(): string {
    return `${this.subject}: ${this.problem}`
  }
}
