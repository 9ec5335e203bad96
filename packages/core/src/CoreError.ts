/**
 * Every error `@hila/core` can fail with.
 *
 * `blame` tells whose turn it is: `"input"` is the user's mistake (the command exits with 2), `"system"` is a failure
 * of the machine or of Hila (exit 1). Messages are one line: what, where, expected, got, what to do.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Whose turn it is when an operation fails. */
export type Blame = "input" | "system"

/** A value could not be written to, or read back from, the bytes of its artifact. */
export class ArtifactError extends Schema.TaggedError<ArtifactError>()("ArtifactError", {
  artifact: Schema.String,
  path: Schema.String,
  problem: Schema.String,
  blame: Schema.Literals(["input", "system"]),
}) {
  override get message() {
    return `${this.path}: not a valid ${this.artifact}: ${this.problem}`
  }
}

/** A pinned leaf of a pipeline could not be read: a file or a directory of the user's, or something far away. */
export class SourceError extends Schema.TaggedError<SourceError>()("SourceError", {
  path: Schema.String,
  problem: Schema.String,
  blame: Schema.Literals(["input", "system"]).pipe(
    Schema.withConstructorDefault(Effect.succeed("input" as const)),
  ),
}) {
  override get message() {
    return `source ${this.path}: ${this.problem}`
  }
}

/** The store could not be read or written. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  operation: Schema.String,
  path: Schema.String,
  problem: Schema.String,
  /** The system's own name of the failure, `EROFS`, where it was one of the system's. */
  code: Schema.optionalKey(Schema.String),
  blame: Schema.Literals(["input", "system"]).pipe(
    Schema.withConstructorDefault(Effect.succeed("system" as const)),
  ),
}) {
  override get message() {
    return `store: cannot ${this.operation} ${this.path}: ${this.problem}`
  }
}

/** A stage was called with parameters its schema refuses, or with inputs that are no nodes. */
export class ParamsError extends Schema.TaggedError<ParamsError>()("ParamsError", {
  stage: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `stage ${this.stage}: ${this.problem}`
  }
}

/** A pipeline was given an option it does not take, a value its schema refuses, or could not be built. */
export class PipelineError extends Schema.TaggedError<PipelineError>()("PipelineError", {
  pipeline: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `pipeline ${this.pipeline}: ${this.problem}`
  }
}

/** A stage takes more of a resource than its pool holds. */
export class ResourceError extends Schema.TaggedError<ResourceError>()("ResourceError", {
  stage: Schema.String,
  pool: Schema.String,
  needed: Schema.Number,
  size: Schema.Number,
}) {
  readonly blame = "input"
  override get message() {
    return `stage ${this.stage}: it takes ${this.needed} of ${this.pool}, the pool holds ${this.size}: give the pool more or the stage less`
  }
}

/** A checkout could not be written where it was asked for. */
export class CheckoutError extends Schema.TaggedError<CheckoutError>()("CheckoutError", {
  path: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `cannot check out to ${this.path}: ${this.problem}`
  }
}

/** A store cannot be served at an address. */
export class ServeError extends Schema.TaggedError<ServeError>()("ServeError", {
  address: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `cannot serve the store at ${this.address}: ${this.problem}`
  }
}
