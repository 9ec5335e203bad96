/** What the command itself can fail with. */
import * as Schema from "effect/Schema"
import { blameOf } from "./Failure.ts"

/** A pipeline file that cannot be found, read, loaded or used. */
export class PipelineFileError extends Schema.TaggedError<PipelineFileError>()("PipelineFileError", {
  /** Path and, where known, line: `pipelines/hila.ts:12`. */
  place: Schema.String,
  problem: Schema.String,
  cause: Schema.optionalKey(Schema.Defect()),
}) {
  readonly blame = "input"
  override get message() {
    return `${this.place}: ${this.problem}`
  }
}

/** Arguments that do not fit the command or the pipeline. */
export class UsageError extends Schema.TaggedError<UsageError>()("UsageError", {
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return this.problem
  }
}

/** A checkpoint with something odd about it, where nothing may be, or two that cannot be compared in whole. */
export class OddError extends Schema.TaggedError<OddError>()("OddError", {
  model: Schema.String,
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `${this.model}: ${this.problem}`
  }
}

/** Blobs of the store whose bytes are not those of their digest. */
export class DamageError extends Schema.TaggedError<DamageError>()("DamageError", {
  store: Schema.String,
  blobs: Schema.Int,
}) {
  readonly blame = "system"
  override get message() {
    return `${this.store}: ${this.blobs} damaged; what needs them is computed again by the next run`
  }
}

/** A stage's own error, with the title of the stage in front. */
export class StageError extends Schema.TaggedError<StageError>()("StageError", {
  node: Schema.String,
  problem: Schema.String,
  blame: Schema.Literals(["input", "system"]),
  cause: Schema.Defect(),
}) {
  override get message() {
    return `${this.node}: ${this.problem}`
  }

  /** The error with its stage, if one of the stages that failed (titles by message) failed with it. */
  static of(error: unknown, failed: ReadonlyMap<string, string>): unknown {
    const problem = error instanceof Error ? error.message : String(error)
    const node = failed.get(problem)
    return node === undefined
      ? error
      : new StageError({ node, problem, blame: blameOf(error) ?? "system", cause: error })
  }
}
