/**
 * Every error `@hila/model` can fail with.
 *
 * `blame` tells whose turn it is: `"input"` is the user's mistake (the command exits with 2), `"system"` is a failure
 * of the machine or of Hila (exit 1). Messages are one line: where, what, expected, got.
 */
import * as Schema from "effect/Schema"

const Blame = Schema.Literals(["input", "system"])

/** A tensor name as a header gives it, quoted and cut to a length that fits a line. */
const quoted = (tensor: string | undefined) =>
  tensor === undefined
    ? undefined
    : `tensor ${JSON.stringify(tensor.length > 200 ? `${tensor.slice(0, 200)}…` : tensor)}`

/** "where: problem: expected …, got …", without the parts that are absent. */
const line = (where: ReadonlyArray<string | undefined>, problem: string, expected?: string, got?: string) => {
  const contrast = [
    ...(expected === undefined ? [] : [`expected ${expected}`]),
    ...(got === undefined ? [] : [`got ${got}`]),
  ].join(", ")
  return [...where, problem, contrast].filter((part) => part !== undefined && part !== "").join(": ")
}

/** A safetensors file could not be read or written, or breaks the format; names the file and the tensor. */
export class SafetensorsError extends Schema.TaggedError<SafetensorsError>()("SafetensorsError", {
  file: Schema.String,
  tensor: Schema.optionalKey(Schema.String),
  problem: Schema.String,
  expected: Schema.optionalKey(Schema.String),
  got: Schema.optionalKey(Schema.String),
  blame: Blame,
}) {
  override get message() {
    return line([this.file, quoted(this.tensor)], this.problem, this.expected, this.got)
  }
}

/** A checkpoint directory is incomplete, inconsistent or could not be written; names the file and the tensor. */
export class CheckpointError extends Schema.TaggedError<CheckpointError>()("CheckpointError", {
  path: Schema.String,
  tensor: Schema.optionalKey(Schema.String),
  problem: Schema.String,
  expected: Schema.optionalKey(Schema.String),
  got: Schema.optionalKey(Schema.String),
  blame: Blame,
}) {
  override get message() {
    return line([this.path, quoted(this.tensor)], this.problem, this.expected, this.got)
  }
}

/** A config.json asks for something no architecture record provides. */
export class ArchitectureError extends Schema.TaggedError<ArchitectureError>()("ArchitectureError", {
  modelType: Schema.String,
  /** Whether the type has no record, or its record no way to compute what is asked for, or the config is not sound. */
  kind: Schema.Literals(["unknown", "unsupported", "wrong"]),
  problem: Schema.String,
}) {
  readonly blame = "input"
  override get message() {
    return `config.json (model_type ${JSON.stringify(this.modelType)}): ${this.problem}`
  }
}

/** A model could not be opened or run. */
export class ModelError extends Schema.TaggedError<ModelError>()("ModelError", {
  model: Schema.String,
  problem: Schema.String,
  blame: Blame,
}) {
  override get message() {
    return `${this.model}: ${this.problem}`
  }
}

/** The Hub refused, failed or stopped, or what came from it is not what it promised. */
export class HubError extends Schema.TaggedError<HubError>()("HubError", {
  /** `org/name@revision`, with the file where one is concerned. */
  source: Schema.String,
  problem: Schema.String,
  blame: Blame,
}) {
  override get message() {
    return `Hub ${this.source}: ${this.problem}`
  }
}
