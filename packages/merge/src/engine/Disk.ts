/** The file system as effects whose failures name the path in one line. */
import { entry } from "@hila/core/Lookup"
import { CheckpointError, Dtype, type Safetensors, type SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { type FileHandle, open as openFile } from "node:fs/promises"
import { codeOf, readFully } from "../internal/disk.ts"
import * as Layout from "./Layout.ts"

/** Calls of the file system about `path`. */
export const attempt =
  (path: string) =>
  <A>(call: () => Promise<A>): Effect.Effect<A, CheckpointError> =>
    Effect.tryPromise({ try: call, catch: (cause) => new CheckpointError({ path, ...failure(cause) }) })

/** What is missing or forbidden is the user's to change; what else fails is not. */
const failure = (cause: unknown) => {
  const problem = cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ") : String(cause)
  const code = codeOf(cause) ?? ""
  const blame = ["ENOENT", "ENOTDIR", "EISDIR", "EACCES", "ENOSPC"].includes(code) ? "input" : "system"
  return { problem, blame } as const
}

/** Opens a file and closes it at the end of the scope. */
export const open = (path: string, flags: "r" | "wx") =>
  Effect.acquireRelease(
    attempt(path)(() => openFile(path, flags)),
    (handle) => Effect.ignore(attempt(path)(() => handle.close())),
  )

/** The bytes of a tensor. */
export const byteLength = ({ dtype, shape }: SafetensorsWriter.TensorSpec): number =>
  Dtype.byteLength(dtype, Layout.elementsOf(shape))

/** Reads ranges of tensors; each file is opened once. */
export type Read = (
  info: Safetensors.TensorInfo,
  start: number,
  into: Uint8Array,
) => Effect.Effect<void, CheckpointError>

/** A reader of the files of these tensors, until the end of the scope. */
export const reader = Effect.fnUntraced(function* (infos: Iterable<Safetensors.TensorInfo>) {
  const handles = new Map<string, FileHandle>()
  for (const { file } of infos) if (!handles.has(file)) handles.set(file, yield* open(file, "r"))
  const read: Read = (info, start, into) =>
    attempt(info.file)(() => readFully(entry(handles, info.file), into, info.offset + start))
  return read
})
