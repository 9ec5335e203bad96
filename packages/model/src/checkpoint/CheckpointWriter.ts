/**
 * Writes a checkpoint directory: new weights, and what describes the model copied byte for byte from another checkpoint.
 *
 * The directory appears complete or not at all.
 */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import { copyFile, mkdir } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import * as FileKind from "./FileKind.ts"
import { syncFile } from "../internal/files.ts"
import * as NewDirectory from "../internal/newDirectory.ts"
import type { CheckpointError, SafetensorsError } from "../ModelError.ts"
import * as SafetensorsWriter from "./SafetensorsWriter.ts"

/** What to write; `metadata` defaults to what loaders of PyTorch weights look for. */
export interface Options<E, R> extends SafetensorsWriter.Options<E, R> {
  /** The checkpoint whose config, tokenizer and other files go with the weights. */
  readonly like: { readonly files: Readonly<Record<string, string>> }
}

/** Writes `model.safetensors` and the files of `like` to a directory that is new or empty. */
export const write = <E, R>(
  directory: string,
  { like, ...options }: Options<E, R>,
): Effect.Effect<void, E | CheckpointError | SafetensorsError, R> => {
  const path = resolve(directory)
  return NewDirectory.make(path, (temporary) =>
    Effect.andThen(
      NewDirectory.attempt(path, () => copyFiles(like.files, temporary)),
      SafetensorsWriter.write(join(temporary, "model.safetensors"), {
        metadata: { format: "pt" },
        ...options,
      }),
    ),
  )
}

const copyFiles = async (files: Readonly<Record<string, string>>, directory: string): Promise<void> => {
  for (const [name, from] of Object.entries(files)) {
    if (!FileKind.isCarried(name)) continue
    const to = join(directory, name)
    await mkdir(dirname(to), { recursive: true })
    await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    await syncFile(to)
  }
}
