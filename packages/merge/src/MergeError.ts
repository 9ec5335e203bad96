/**
 * The error `@hila/merge` fails with when models, tables, masks or parameters do not fit together.
 *
 * Everything that can be known from headers is checked before a weight is read. Failures of the disk and broken files
 * are errors of `@hila/model`.
 */
import * as Schema from "effect/Schema"

/** Inputs that cannot be merged: which method, which input, which tensor or unit, what is wrong and what to do. */
export class MergeError extends Schema.TaggedError<MergeError>()("MergeError", {
  /** The method that refused: `"fuse"`, `"prune"`, … */
  method: Schema.String,
  /** The input at fault by its role: `"expert 2"`, `"weights"`, `"density"`, … */
  input: Schema.String,
  tensor: Schema.optionalKey(Schema.String),
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    const tensor = this.tensor === undefined ? "" : `tensor ${this.tensor}: `
    return `${this.method}: ${this.input}: ${tensor}${this.problem}`
  }
}
