/**
 * The errors `@hila/merge` fails with: recipes that are wrong, and models, tables, masks or parameters that do not fit
 * together.
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

/** A mistake in a recipe, with its place in the file; line and column count from 1. */
export class RecipeError extends Schema.TaggedError<RecipeError>()("RecipeError", {
  file: Schema.String,
  line: Schema.Int,
  column: Schema.Int,
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `${this.file}:${this.line}:${this.column}: ${this.problem}`
  }
}

/** The machinery failed, not the input: a worker thread ended, or working memory is used up. */
export class EngineError extends Schema.TaggedError<EngineError>()("EngineError", {
  tensor: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "system"
  override get message() {
    return `tensor ${this.tensor}: ${this.problem}`
  }
}
