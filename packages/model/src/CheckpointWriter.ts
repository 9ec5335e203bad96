/**
 * Writes a checkpoint directory: new weights, everything else copied byte for byte from another checkpoint.
 *
 * The directory appears complete or not at all: a temporary sibling is filled and renamed.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomUUID } from "node:crypto"
import { constants } from "node:fs"
import { copyFile, mkdir, readdir, rename, rm } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { codeOf, failure, syncDirectory, syncFile } from "./internal/files.ts"
import { CheckpointError, type SafetensorsError } from "./ModelError.ts"
import * as SafetensorsWriter from "./SafetensorsWriter.ts"

/** What to write; `metadata` defaults to what loaders of PyTorch weights look for. */
export interface Options<E, R> extends SafetensorsWriter.Options<E, R> {
  /** The checkpoint whose config, tokenizer and other files go with the weights. */
  readonly like: { readonly files: Readonly<Record<string, string>> }
}

/** Weights in any format, and indexes of their shards: what a copy of a checkpoint must not take along. */
const weights = /\.(safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|onnx|onnx_data)(\.index\.json)?$/

/** Writes `model.safetensors` and the files of `like` to a directory that is new or empty. */
export const write = Effect.fnUntraced(function* <E, R>(
  directory: string,
  { like, ...options }: Options<E, R>,
): Effect.fn.Return<void, E | CheckpointError | SafetensorsError, R> {
  const path = resolve(directory)
  const temporary = `${path}.${randomUUID()}.tmp`
  const attempt = <A>(call: () => Promise<A>) =>
    Effect.tryPromise({ try: call, catch: (cause) => new CheckpointError({ path, ...failure(cause) }) })
  if (!(yield* attempt(() => isFree(path)))) {
    const expected = "a new or empty directory"
    return yield* new CheckpointError({ path, problem: "already exists", expected, blame: "input" })
  }
  const fill = Effect.gen(function* () {
    yield* attempt(() => mkdir(temporary, { recursive: true }))
    yield* attempt(() => copyFiles(like.files, temporary))
    yield* SafetensorsWriter.write(join(temporary, "model.safetensors"), {
      metadata: { format: "pt" },
      ...options,
    })
    yield* attempt(() => syncDirectory(temporary))
    yield* attempt(() => rename(temporary, path))
    yield* attempt(() => syncDirectory(dirname(path)))
  })
  yield* Effect.onExit(fill, (exit) =>
    Exit.isSuccess(exit)
      ? Effect.void
      : Effect.ignore(Effect.tryPromise(() => rm(temporary, { recursive: true, force: true }))),
  )
})

/** Whether a directory may be renamed to `path`. */
const isFree = async (path: string): Promise<boolean> => {
  try {
    return (await readdir(path)).length === 0
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return true
    throw cause
  }
}

const copyFiles = async (files: Readonly<Record<string, string>>, directory: string): Promise<void> => {
  for (const [name, from] of Object.entries(files)) {
    if (weights.test(name)) continue
    const to = join(directory, name)
    await mkdir(dirname(to), { recursive: true })
    await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    await syncFile(to)
  }
}
