/**
 * A model as files for any ONNX Runtime: the graph, and beside it the checkpoint's own weights under a second name.
 *
 * Weights are hard-linked, so the export takes a few kilobytes; where links are impossible they are copied. The graph
 * has a key-value cache and no gates, and refers to the weights by name and offset.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomUUID } from "node:crypto"
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import type { Checkpoint } from "./Checkpoint.ts"
import * as Checkpoints from "./Checkpoint.ts"
import { decoder } from "./graphs/Decoder.ts"
import * as Weights from "./graphs/Weights.ts"
import { failure, linkOrCopy, orMissing } from "./internal/files.ts"
import { type ArchitectureError, CheckpointError, ModelError } from "./ModelError.ts"
import { encode } from "./onnx/Encode.ts"
import * as Graph from "./onnx/Graph.ts"

/** An input or output of a graph; sizes that are names may differ from run to run. */
export interface Port {
  readonly name: string
  readonly type: string
  readonly shape: ReadonlyArray<number | string>
}

/** What was written. */
export interface Exported {
  /** Absolute path of the graph. */
  readonly graph: string
  readonly inputs: ReadonlyArray<Port>
  readonly outputs: ReadonlyArray<Port>
  /** Names beside the graph, and whether their bytes are the checkpoint's own or a copy of them. */
  readonly weights: ReadonlyArray<{ readonly name: string; readonly linked: boolean }>
}

const port = ({ name, shape, type }: Graph.Value): Port => ({ name, type, shape: [...shape] })

const isFree = async (path: string): Promise<boolean> =>
  (await orMissing(() => readdir(path), [])).length === 0

/** Writes `model.onnx` and its weights to a directory that is new or empty; it appears complete or not at all. */
export const onnx = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  directory: string,
): Effect.fn.Return<Exported, ArchitectureError | CheckpointError | ModelError> {
  const path = resolve(directory)
  const attempt = <A>(call: () => Promise<A>) =>
    Effect.tryPromise({ try: call, catch: (cause) => new CheckpointError({ path, ...failure(cause) }) })
  const shape = yield* Checkpoints.validate(checkpoint)
  const graph = yield* Effect.mapError(
    Effect.fromResult(
      Graph.build(shape.modelType, (builder) =>
        decoder(builder, shape, Weights.stored(builder, checkpoint.tensors), { cache: true }),
      ),
    ),
    ({ blame, message }) =>
      new ModelError({ model: dirname(checkpoint.files["config.json"] ?? path), problem: message, blame }),
  )
  if (!(yield* attempt(() => isFree(path)))) {
    const expected = "a new or empty directory"
    return yield* new CheckpointError({ path, problem: "already exists", expected, blame: "input" })
  }
  const encoded = encode(graph)
  const temporary = `${path}.${randomUUID()}.tmp`
  const fill = attempt(async () => {
    await mkdir(temporary, { recursive: true })
    await writeFile(join(temporary, "model.onnx"), encoded.bytes)
    const weights: Array<{ readonly name: string; readonly linked: boolean }> = []
    for (const { location, path: from } of encoded.weights) {
      weights.push({ name: location, linked: await linkOrCopy(from, join(temporary, location)) })
    }
    await rename(temporary, path)
    return weights
  })
  const weights = yield* Effect.onExit(fill, (exit) =>
    Exit.isSuccess(exit)
      ? Effect.void
      : Effect.ignore(Effect.tryPromise(() => rm(temporary, { recursive: true, force: true }))),
  )
  return {
    graph: join(path, "model.onnx"),
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
    weights,
  }
})
