/**
 * Checkpoints: a model's directory as a handle. Paths, the decoded config.json, and where each tensor lies.
 *
 * Opening reads config.json and the headers of the weight files, nothing else; tensors are read when asked for.
 */
import { Artifact, ArtifactError, type Node, Source } from "@hila/core"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Architecture from "../architectures/Architecture.ts"
import * as CheckpointWriter from "./CheckpointWriter.ts"
import * as Dtype from "./Dtype.ts"
import * as FileKind from "./FileKind.ts"
import { failure, listFiles } from "../internal/files.ts"
import * as Misplaced from "./Misplaced.ts"
import * as ModelConfig from "./ModelConfig.ts"
import { type ArchitectureError, CheckpointError, type SafetensorsError } from "../ModelError.ts"
import type { EncoderShape, ModelShape, Stack } from "../architectures/ModelShape.ts"
import * as Quantisation from "./Quantisation.ts"
import * as Safetensors from "./Safetensors.ts"
import * as Shards from "./Shards.ts"
import * as TiedHead from "./TiedHead.ts"

/** A model on disk; no bytes of its tensors are in memory. */
export interface Checkpoint {
  /** Relative POSIX name → absolute path. */
  readonly files: Readonly<Record<string, string>>
  readonly config: ModelConfig.ModelConfig
  /** By name, in the order of the data in each file. */
  readonly tensors: ReadonlyMap<string, Safetensors.TensorInfo>
  /** Where index and shards disagree, in one line each. */
  readonly remarks?: ReadonlyArray<string>
}

const indexName = "model.safetensors.index.json"

/** Opens a directory with a config.json and one `model.safetensors`, or shards with an index. */
export const open = Effect.fnUntraced(function* (
  directory: string,
): Effect.fn.Return<Checkpoint, CheckpointError | SafetensorsError> {
  const path = resolve(directory)
  const file = yield* Effect.promise(() => Misplaced.ofFile(path))
  if (file !== undefined) return yield* new CheckpointError({ path, problem: file, blame: "input" })
  const { dangling, files } = yield* Effect.tryPromise({
    try: () => listFiles(path),
    catch: (cause) => new CheckpointError({ path, ...failure(cause) }),
  })
  const needed = dangling.find(
    (name) => name === "model.safetensors" || name === indexName || FileKind.of(name) === "model",
  )
  if (needed !== undefined) {
    const problem = `${needed} is a link to what is not there: get the file again, or remove the link`
    return yield* new CheckpointError({ path, problem, blame: "input" })
  }
  return yield* fromFiles(files, path)
})

/** Opens a checkpoint from its files wherever they lie; `location` stands for the directory in errors. */
export const fromFiles = Effect.fnUntraced(function* (
  files: Readonly<Record<string, string>>,
  location: string,
): Effect.fn.Return<Checkpoint, CheckpointError | SafetensorsError> {
  const config = yield* ModelConfig.parse(
    yield* readText(
      files,
      "config.json",
      location,
      Misplaced.ofDirectory(Object.keys(files)) ?? "not a checkpoint: config.json is missing",
    ),
    pathOf(files, "config.json", location),
  )
  if (Object.hasOwn(files, "model.safetensors")) {
    const { tensors } = yield* Safetensors.open(pathOf(files, "model.safetensors", location))
    return { files, config, tensors }
  }
  const { remarks, tensors } = yield* openShards(files, location, config)
  return { files, config, tensors, ...(remarks.length === 0 ? {} : { remarks }) }
})

const pathOf = (files: Readonly<Record<string, string>>, name: string, location: string): string =>
  (Object.hasOwn(files, name) ? files[name] : undefined) ?? join(location, name)

const readText = (files: Readonly<Record<string, string>>, name: string, location: string, missing: string) =>
  Object.hasOwn(files, name)
    ? Effect.tryPromise({
        try: () => readFile(pathOf(files, name, location), "utf8"),
        catch: (cause) => new CheckpointError({ path: pathOf(files, name, location), ...failure(cause) }),
      })
    : Effect.fail(new CheckpointError({ path: location, problem: missing, blame: "input" }))

const openShards = Effect.fnUntraced(function* (
  files: Readonly<Record<string, string>>,
  location: string,
  config: ModelConfig.ModelConfig,
) {
  const missing = `no weights: neither model.safetensors nor ${indexName} is there`
  const text = yield* readText(files, indexName, location, missing)
  return yield* Shards.open(text, pathOf(files, indexName, location), files, config)
})

/** Writes `model.safetensors` and the other files of `like` to a directory that is new or empty, and opens it. */
export const write = <E, R>(
  directory: string,
  options: CheckpointWriter.Options<E, R>,
): Effect.Effect<Checkpoint, E | CheckpointError | SafetensorsError, R> =>
  Effect.andThen(CheckpointWriter.write(directory, options), open(directory))

/**
 * Checks that every tensor the architecture needs is there, as numbers of its shape; succeeds with shape and head. Reads
 * no weights but those of a head that is tied and stored all the same, and with `TiedHead.unread` none.
 */
export const examine = (
  checkpoint: Checkpoint,
  same?: TiedHead.Same,
): Effect.Effect<TiedHead.Found, ArchitectureError | CheckpointError | SafetensorsError> =>
  Effect.tap(TiedHead.of(checkpoint, same), ({ shape }) => complete(checkpoint, shape))

/** The same, for those who only compute with the shape: a head that is not what config.json says is a warning. */
export const validate = (
  checkpoint: Checkpoint,
): Effect.Effect<ModelShape, ArchitectureError | CheckpointError | SafetensorsError> =>
  Effect.flatMap(examine(checkpoint), (found) => {
    const remark = TiedHead.remark(found)
    const told = Effect.logWarning(`${checkpoint.files["config.json"] ?? "config.json"}: ${remark ?? ""}`)
    return Effect.as(remark === undefined ? Effect.void : told, found.shape)
  })

/** The same for an encoder. */
export const validateEncoder = (
  checkpoint: Checkpoint,
): Effect.Effect<EncoderShape, ArchitectureError | CheckpointError> =>
  Effect.tap(Architecture.resolveEncoder(checkpoint.config, checkpoint.tensors), (model) =>
    complete(checkpoint, model),
  )

const complete = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  model: Pick<Stack, "expected">,
): Effect.fn.Return<void, CheckpointError> {
  yield* plain(checkpoint)
  for (const [tensor, shape] of model.expected) {
    const info = yield* find(checkpoint, tensor, `[${shape.join(", ")}]`)
    if (info.shape.length === shape.length && info.shape.every((size, axis) => size === shape[axis])) continue
    const [expected, got] = [`[${shape.join(", ")}] by config.json`, `[${info.shape.join(", ")}]`]
    return yield* new CheckpointError({
      path: info.file,
      tensor,
      problem: "wrong shape",
      expected,
      got,
      blame: "input",
    })
  }
})

/** Fails where weights are codes of a quantised format, with a line that names the format and the tensor. */
export const plain = (checkpoint: Checkpoint): Effect.Effect<void, CheckpointError> => {
  const found = Quantisation.of(checkpoint)
  if (found === undefined) return Effect.void
  const problem = Quantisation.refusal(found)
  return Effect.fail(new CheckpointError({ path: found.example.file, problem, blame: "input" }))
}

/** Scalars in all tensors; a tied head is no tensor of its own and counts once. */
export const parameterCount = ({ tensors }: Checkpoint): number =>
  [...tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  )

/** A tensor as float32 `[...shape]`, row-major; fails when it is missing or its dtype is no floating-point one. */
export const readFloat32 = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  tensor: string,
): Effect.fn.Return<Float32Array, CheckpointError | SafetensorsError> {
  const info = yield* find(checkpoint, tensor)
  const { dtype, file: path } = info
  if (!Dtype.isFloat(dtype)) {
    const [expected, got] = ["F64, F32, F16 or BF16", dtype]
    return yield* new CheckpointError({
      path,
      tensor,
      problem: "no conversion to float32",
      expected,
      got,
      blame: "input",
    })
  }
  return Dtype.toFloat32(yield* Safetensors.read(info), dtype)
})

const find = ({ files, tensors }: Checkpoint, tensor: string, expected?: string) => {
  const info = tensors.get(tensor)
  const path = files["model.safetensors"] ?? files[indexName] ?? "checkpoint"
  return info === undefined
    ? Effect.fail(
        new CheckpointError({
          path,
          tensor,
          problem: "is missing",
          ...(expected === undefined ? {} : { expected }),
          blame: "input",
        }),
      )
    : Effect.succeed(info)
}

const id = "checkpoint"

const summary = (checkpoint: Checkpoint): string => {
  const count = parameterCount(checkpoint)
  const size = count >= 1e9 ? `${(count / 1e9).toFixed(2)} B` : `${(count / 1e6).toFixed(2)} M`
  return `${checkpoint.config.model_type}, ${checkpoint.tensors.size} tensors, ${size} parameters`
}

/** A checkpoint as a directory; decoding opens headers only. */
export const artifact: Artifact.Artifact<Checkpoint> = Artifact.make({
  id,
  kind: "directory",
  encode: ({ files }, path) => Artifact.encodeFiles(id, files, path),
  decode: (content) =>
    Effect.flatMap(Artifact.decodeFiles(id, content), ({ files }) =>
      Effect.mapError(
        fromFiles(files, id),
        ({ blame, message }) =>
          new ArtifactError({ artifact: id, path: files["config.json"] ?? id, problem: message, blame }),
      ),
    ),
  summary,
})

/** A checkpoint directory of the user's, as the leaf of a pipeline. */
export const source = (path: string | URL): Node.SourceNode<Checkpoint> => Source.directory(path, artifact)
