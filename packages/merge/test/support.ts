/** What the tests of this package share: fixtures, tables, scratch directories, the shared reference material. */
import { Checkpoint, Dtype, Safetensors, SafetensorsWriter, Unit, type UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const shared = new URL("../../../../shared/", import.meta.url)
export const hasShared = existsSync(shared)
export const sharedPath = (path: string) => fileURLToPath(new URL(path, shared))

/** A model of the micro family. */
export const micro = (name: "base" | "math" | "code" | "lang") =>
  Checkpoint.open(fileURLToPath(new URL(`../../../fixtures/micro/${name}`, import.meta.url)))

export const experts = Effect.all([micro("math"), micro("code"), micro("lang")])

/** A directory that is removed after the test. */
export const scratch = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "hila-merge-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
)

/** The names in a directory. */
export const list = (path: string) => Effect.promise(() => readdir(path))

/** A file's bytes. */
export const bytesOf = (path: string) => Effect.promise(() => readFile(path))

/** Every tensor's bytes, by name. */
export const tensorBytes = (checkpoint: Pick<Checkpoint.Checkpoint, "tensors">) =>
  Effect.map(
    Effect.forEach(checkpoint.tensors.values(), (info) =>
      Effect.map(Safetensors.read(info), (bytes) => [info.name, Buffer.from(bytes).toString("hex")] as const),
    ),
    (entries) => Object.fromEntries(entries),
  )

/** Every tensor's values as float32, by name. */
export const tensorValues = (tensors: ReadonlyMap<string, Safetensors.TensorInfo>) =>
  Effect.map(
    Effect.forEach(tensors.values(), (info) =>
      Effect.map(
        Safetensors.read(info),
        (bytes) =>
          [
            info.name,
            Dtype.isFloat(info.dtype) ? Dtype.toFloat32(bytes, info.dtype) : new Float32Array(),
          ] as const,
      ),
    ),
    (entries) => new Map(entries),
  )

/** A repeatable source of numbers in [0, 1). */
export const random = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A table of significant, positive scores for every unit of a checkpoint. */
export const table = (
  checkpoint: Checkpoint.Checkpoint,
  score: (index: number) => number = () => 1,
  scheme: Unit.UnitScheme = "kvGroup",
) =>
  Effect.map(Unit.partition(checkpoint, scheme), ({ units }): UnitTable.UnitTable => ({
    scheme,
    method: "test",
    rows: units.map(({ id, index, kind, layer, size }, at) => ({
      unit: id,
      kind,
      layer,
      index,
      size,
      score: score(at),
      standardError: 0,
      relative: Math.max(score(at), 0),
    })),
  }))

/** A copy of a checkpoint whose tensors are changed: dropped (undefined), or given other values, shape or dtype. */
export const altered = (
  checkpoint: Checkpoint.Checkpoint,
  directory: string,
  change: (
    tensor: SafetensorsWriter.TensorSpec,
    values: Float32Array,
  ) => (SafetensorsWriter.TensorSpec & { readonly values: Float32Array }) | undefined,
) =>
  Effect.gen(function* () {
    const tensors = yield* Effect.forEach(checkpoint.tensors.values(), ({ dtype, name, shape }) =>
      Effect.map(Checkpoint.readFloat32(checkpoint, name), (values) =>
        change({ name, dtype, shape }, values),
      ),
    )
    const kept = tensors.filter((tensor) => tensor !== undefined)
    return yield* Checkpoint.write(directory, {
      like: checkpoint,
      tensors: kept.map(({ dtype, name, shape }) => ({ name, dtype, shape })),
      data: ({ dtype, name }, write) => {
        const values = kept.find((tensor) => tensor.name === name)!.values
        return write(
          Dtype.isFloat(dtype)
            ? Dtype.fromFloat32(values, dtype)
            : new Uint8Array(values.length * Dtype.bytes(dtype)),
        )
      },
    })
  })
