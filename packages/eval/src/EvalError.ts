/**
 * What can go wrong in evaluation itself; a model's or a file's own failure keeps its own error.
 */
import * as Schema from "effect/Schema"

/** An evaluation was asked for something that has no answer: nothing to measure, or names that do not fit. */
export class EvalError extends Schema.TaggedError<EvalError>()("EvalError", {
  /** The measurement that was asked for, for example "golden loss". */
  subject: Schema.String,
  /** What was expected, what was got, and what to do. */
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message(): string {
    return `${this.subject}: ${this.problem}`
  }
}
