/**
 * A model as files for any ONNX Runtime: the graph, and beside it the checkpoint's own weights under a second name.
 *
 * Weights are hard-linked, so the export takes a few kilobytes; where links are impossible they are copied. The graph
 * has a key-value cache and no gates, and refers to the weights by name and offset.
 */
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import { decoder } from "../graphs/Decoder.ts"
import * as Weights from "../graphs/Weights.ts"
import { linkOrCopy } from "../internal/files.ts"
import * as NewDirectory from "../internal/newDirectory.ts"
import {
  type ArchitectureError,
  type CheckpointError,
  ModelError,
  type SafetensorsError,
} from "../ModelError.ts"
import { encode } from "../onnx/Encode.ts"
import * as Graph from "../onnx/Graph.ts"

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

/** Writes `model.onnx` and its weights to a directory that is new or empty; it appears complete or not at all. */
export const onnx = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  directory: string,
): Effect.fn.Return<Exported, ArchitectureError | CheckpointError | ModelError | SafetensorsError> {
  const path = resolve(directory)
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
  const encoded = encode(graph)
  const weights = yield* NewDirectory.make(path, (temporary) =>
    NewDirectory.attempt(path, async () => {
      await writeFile(join(temporary, "model.onnx"), encoded.bytes)
      const written: Array<{ readonly name: string; readonly linked: boolean }> = []
      for (const { location, path: from } of encoded.weights) {
        written.push({ name: location, linked: await linkOrCopy(from, join(temporary, location)) })
      }
      return written
    }),
  )
  return {
    graph: join(path, "model.onnx"),
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
    weights,
  }
})
