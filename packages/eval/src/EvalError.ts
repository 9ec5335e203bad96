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

/** A task that cannot be used as it is written, or whose data do not fit it. */
export class TaskError extends Schema.TaggedError<TaskError>()("TaskError", {
  /** The task's file, or its data file. */
  file: Schema.String,
  /** The key of the file that is at fault, if one is. */
  key: Schema.optionalKey(Schema.String),
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message(): string {
    return `${this.file}: ${this.key === undefined ? "" : `${this.key}: `}${this.problem}`
  }
}

/** A file of results that could not be written or read. */
export class ResultsError extends Schema.TaggedError<ResultsError>()("ResultsError", {
  path: Schema.String,
  problem: Schema.String,
  blame: Schema.Literals(["input", "system"]),
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}`
  }
}
