/**
 * A directory that appears complete or not at all: a temporary sibling is filled and renamed.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomUUID } from "node:crypto"
import { mkdir, readdir, rename, rm } from "node:fs/promises"
import { dirname } from "node:path"
import { CheckpointError } from "../ModelError.ts"
import { failure, orMissing, syncDirectory } from "./files.ts"

/** A file-system call about `path`, whose failure is one line. */
export const attempt = <A>(path: string, call: () => Promise<A>): Effect.Effect<A, CheckpointError> =>
  Effect.tryPromise({ try: call, catch: (cause) => new CheckpointError({ path, ...failure(cause) }) })

/** Whether a directory may be renamed to `path`. */
const isFree = async (path: string): Promise<boolean> =>
  (await orMissing(() => readdir(path), [])).length === 0

/**
 * Makes the directory at the absolute `path`; `fill` writes its content at the path it is given. Fails where something is
 * there already, and leaves nothing behind when `fill` fails or is interrupted.
 */
export const make = Effect.fnUntraced(function* <A, E, R>(
  path: string,
  fill: (temporary: string) => Effect.Effect<A, E, R>,
): Effect.fn.Return<A, E | CheckpointError, R> {
  if (!(yield* attempt(path, () => isFree(path)))) {
    const expected = "a new or empty directory"
    return yield* new CheckpointError({ path, problem: "already exists", expected, blame: "input" })
  }
  const temporary = `${path}.${randomUUID()}.tmp`
  const write = Effect.gen(function* () {
    yield* attempt(path, () => mkdir(temporary, { recursive: true }))
    const result = yield* fill(temporary)
    yield* attempt(path, () => syncDirectory(temporary))
    yield* attempt(path, () => rename(temporary, path))
    yield* attempt(path, () => syncDirectory(dirname(path)))
    return result
  })
  return yield* Effect.onExit(write, (exit) =>
    Exit.isSuccess(exit)
      ? Effect.void
      : Effect.ignore(Effect.tryPromise(() => rm(temporary, { recursive: true, force: true }))),
  )
})
