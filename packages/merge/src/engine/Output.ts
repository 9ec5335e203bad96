/**
 * The output's files: weights that are written in any order, in one file or in shards with an index.
 *
 * The directory appears complete or not at all: a temporary sibling is filled, made durable and renamed. What a killed
 * process left behind is removed by the next run with the same output.
 */
import { entry, last } from "@hila/core/Lookup"
import { CheckpointError, FileKind, type Safetensors, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomBytes } from "node:crypto"
import { type FileHandle, mkdir, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import * as Disk from "./Disk.ts"
import { copyInto, isFree, removeAbandoned, sync, writeFully } from "../internal/disk.ts"

/** Writes bytes of a tensor from `start`, counted from its first byte; any order, each byte once. */
export type Write = (tensor: string, start: number, bytes: Uint8Array) => Effect.Effect<void, CheckpointError>

export interface Options<E, R> {
  readonly tensors: ReadonlyArray<SafetensorsWriter.TensorSpec>
  /** Files that go with the weights, by relative name: absolute paths to copy; see `FileKind.isCarried`. */
  readonly files: Readonly<Record<string, string>>
  /** Bytes of weights per file; one file without it. */
  readonly shardBytes?: number | undefined
  readonly fill: (write: Write) => Effect.Effect<void, E, R>
  /** Looks at, or adds to, the complete directory before it appears. */
  readonly finish?: ((directory: string) => Effect.Effect<void, E, R>) | undefined
}

const indexName = "model.safetensors.index.json"

/** After so many bytes the disk is asked to begin, so that not all is left for the end. */
const SYNC_EVERY = 256 << 20

/** Fills a new directory. */
export const write = Effect.fnUntraced(function* <E, R>(directory: string, options: Options<E, R>) {
  const path = resolve(directory)
  const attempt = Disk.attempt(path)
  const free = Effect.gen(function* () {
    if (yield* attempt(() => isFree(path))) return
    const expected = "a new or empty directory"
    return yield* new CheckpointError({ path, problem: "already exists", expected, blame: "input" })
  })
  yield* free
  yield* Effect.ignore(attempt(() => removeAbandoned(path)))
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`
  const carried = Object.entries(options.files).filter(([name]) => FileKind.isCarried(name))
  const fill = Effect.gen(function* () {
    yield* attempt(() => mkdir(temporary, { recursive: true }))
    yield* attempt(() => copyInto(temporary, carried))
    yield* Effect.scoped(fillShards(temporary, options))
    if (options.finish !== undefined) yield* options.finish(temporary)
    yield* attempt(() => sync(temporary))
    // Another process may have put its own result there meanwhile; the error then says so.
    yield* Effect.tapError(
      attempt(() => rename(temporary, path)),
      () => free,
    )
    yield* attempt(() => sync(dirname(path)))
  })
  yield* Effect.onExit(fill, (exit) =>
    Exit.isSuccess(exit)
      ? Effect.void
      : Effect.ignore(attempt(() => rm(temporary, { recursive: true, force: true }))),
  )
})

interface Shard {
  readonly name: string
  readonly tensors: ReadonlyArray<SafetensorsWriter.TensorSpec>
}

/** Tensors in order, in as few files as hold `most` bytes each; a tensor is never cut. */
const shardsOf = (
  tensors: ReadonlyArray<SafetensorsWriter.TensorSpec>,
  most: number | undefined,
): ReadonlyArray<Shard> => {
  if (most === undefined) return [{ name: "model.safetensors", tensors }]
  const parts: Array<Array<SafetensorsWriter.TensorSpec>> = [[]]
  let filled = 0
  for (const tensor of tensors) {
    const size = Disk.byteLength(tensor)
    if (filled > 0 && filled + size > most) {
      parts.push([])
      filled = 0
    }
    last(parts).push(tensor)
    filled += size
  }
  if (parts.length === 1) return [{ name: "model.safetensors", tensors }]
  const number = (value: number) => String(value).padStart(5, "0")
  return parts.map((part, index) => ({
    name: `model-${number(index + 1)}-of-${number(parts.length)}.safetensors`,
    tensors: part,
  }))
}

const fillShards = Effect.fnUntraced(function* <E, R>(
  directory: string,
  { fill, shardBytes, tensors }: Options<E, R>,
) {
  const shards = shardsOf(tensors, shardBytes)
  const places = new Map<string, { readonly file: OpenFile; readonly info: Safetensors.TensorInfo }>()
  const files: Array<OpenFile> = []
  for (const shard of shards) {
    const path = join(directory, shard.name)
    const specs = { metadata: { format: "pt" }, tensors: shard.tensors }
    const { header, infos } = yield* SafetensorsWriter.layout(path, specs)
    const file: OpenFile = { path, handle: yield* Disk.open(path, "wx"), unsynced: 0, syncing: false }
    files.push(file)
    for (const info of infos) places.set(info.name, { file, info })
    yield* put(file, header, 0)
  }
  yield* fill((tensor, start, bytes) => {
    const { file, info } = entry(places, tensor)
    return put(file, bytes, info.offset + start)
  })
  if (shards.length > 1) {
    const entries = shards.flatMap(({ name, tensors }) =>
      tensors.map((tensor) => [tensor.name, name] as const),
    )
    const total = tensors.reduce((sum, tensor) => sum + Disk.byteLength(tensor), 0)
    const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(entries) }
    const path = join(directory, indexName)
    yield* Disk.attempt(path)(() => writeFile(path, `${JSON.stringify(index, null, 2)}\n`, { flush: true }))
  }
  for (const { handle, path } of files) yield* Disk.attempt(path)(() => handle.sync())
})

interface OpenFile {
  readonly path: string
  readonly handle: FileHandle
  unsynced: number
  syncing: boolean
}

/** Writes at a position; now and then lets the disk begin with what was written, without waiting. */
const put = (file: OpenFile, bytes: Uint8Array, position: number) =>
  Effect.tap(
    Disk.attempt(file.path)(() => writeFully(file.handle, bytes, position)),
    () => {
      file.unsynced += bytes.length
      if (file.unsynced < SYNC_EVERY || file.syncing) return Effect.void
      file.unsynced = 0
      file.syncing = true
      return Effect.sync(() => void beginSync(file))
    },
  )

const beginSync = async (file: OpenFile): Promise<void> => {
  try {
    await file.handle.datasync()
  } catch {
    // The last sync fails too, and says so.
  } finally {
    file.syncing = false
  }
}
