/**
 * What can go wrong in this package itself; a model's or a file's own failure keeps its own error.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Experts, data or a bundle from which no answer can be had. */
export class CollabError extends Schema.TaggedError<CollabError>()("CollabError", {
  /** What was asked for, for example "features of start" or "bundle.json". */
  subject: Schema.String,
  /** What was expected, what was got, and what to do. */
  problem: Schema.String,
  /** A disk that cannot be written or a port that cannot be had is no mistake in what was given. */
  blame: Schema.Literals(["input", "system"]).pipe(
    Schema.withConstructorDefault(Effect.succeed("input" as const)),
  ),
}) {
  override get message(): string {
    return `${this.subject}: ${this.problem}`
  }
}
