/**
 * What can go wrong in scoring itself; a model's or a file's own failure keeps its own error.
 */
import * as Schema from "effect/Schema"

/** Scoring was given data from which nothing can be measured. */
export class ScoringError extends Schema.TaggedError<ScoringError>()("ScoringError", {
  /** What was asked for, for example "golden data" or "importance". */
  subject: Schema.String,
  /** What was expected, what was got, and what to do. */
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message(): string {
    return `${this.subject}: ${this.problem}`
  }
}
