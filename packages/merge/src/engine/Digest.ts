/**
 * Digests of weight files, for the provenance card, taken beside the merge that reads the same files.
 *
 * The engine reads tensors in pieces, some several times, so no hash of a file can be fed from its reads. Threads of their
 * own read the files of all models side by side from their beginnings, as the engine does, so that one reading finds in
 * memory what the other has fetched from the disk.
 */
import { at } from "@hila/core/Lookup"
import * as Threads from "@hila/core/Threads"
import { CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { realpath, stat } from "node:fs/promises"
import { availableParallelism } from "node:os"
import { basename } from "node:path"
import { Worker } from "node:worker_threads"
import type { Answer } from "../internal/hasher.ts"

/** Fewer bytes are hashed sooner than a thread starts. */
const SMALL = 1 << 26

/** What a thread takes besides, and its buffer. */
const PER_THREAD = 48 << 20

const threadsFor = (files: number): number => Math.min(files, Math.max(1, availableParallelism() >> 2))

/** The most memory that hashing so many files takes. */
export const memoryBound = (files: number): number => threadsFor(files) * PER_THREAD

/** The sha256 of each of these files by its path; `onProgress` is told the share that is read. */
export const ofFiles = Effect.fnUntraced(function* (
  paths: ReadonlyArray<string>,
  onProgress: (share: number) => void = () => {},
) {
  const digests = new Map<string, string>()
  const open: Array<string> = []
  let bytes = 0
  for (const path of new Set(paths)) {
    const named = yield* attempt(path, () => nameOf(path))
    if (named !== undefined) digests.set(path, named)
    else {
      open.push(path)
      bytes += (yield* attempt(path, () => stat(path))).size
    }
  }
  if (bytes < SMALL) {
    for (const path of open) digests.set(path, yield* attempt(path, () => ofFile(path)))
    return digests
  }
  const threads = threadsFor(open.length)
  const done = Array.from({ length: threads }, () => 0)
  const found = yield* Effect.forEach(
    done.keys(),
    (thread) =>
      inThread(
        open.filter((_, index) => index % threads === thread),
        (read) => {
          done[thread] = read
          onProgress(done.reduce((sum, each) => sum + each, 0) / bytes)
        },
      ),
    { concurrency: "unbounded" },
  )
  for (const [path, digest] of found.flatMap((own) => Object.entries(own))) digests.set(path, digest)
  return digests
})

/** In the Hub's cache a large file is a link to one that is named by its digest: nothing is read. */
const nameOf = async (path: string) => {
  const name = basename(await realpath(path))
  return /^[0-9a-f]{64}$/.test(name) ? name : undefined
}

const ofFile = async (path: string) => {
  const hash = createHash("sha256")
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 22 })) {
    if (chunk instanceof Uint8Array) hash.update(chunk)
  }
  return hash.digest("hex")
}

const entryFile = import.meta.url.endsWith(".ts")
  ? new URL("../internal/hasher.ts", import.meta.url)
  : new URL("../internal/hasher.js", import.meta.url)

/** Hashes files in a thread of its own, which ends with it. */
const inThread = (paths: ReadonlyArray<string>, onRead: (bytes: number) => void) =>
  Effect.scoped(
    Effect.gen(function* () {
      const worker = yield* Effect.acquireRelease(
        Effect.sync(
          () =>
            new Worker(entryFile, { workerData: paths, execArgv: [...Threads.execArgv], name: "hila-hash" }),
        ),
        (started) => Effect.promise(() => started.terminate()),
      )
      return yield* Effect.callback<Readonly<Record<string, string>>, CheckpointError>((resume) => {
        const fail = (path: string, problem: string) =>
          resume(Effect.fail(new CheckpointError({ path, problem, blame: "system" })))
        worker.on("message", (answer: Answer) => {
          if (answer._tag === "Read") onRead(answer.bytes)
          else if (answer._tag === "Failed") fail(answer.path, answer.problem)
          else resume(Effect.succeed(answer.digests))
        })
        worker.on("error", ({ message }) => fail(at(paths, 0), message))
        worker.on("exit", (code) => fail(at(paths, 0), `a thread that hashes ended with ${code}`))
      })
    }),
  )

const attempt = <A>(path: string, call: () => Promise<A>) =>
  Effect.tryPromise({
    try: call,
    catch: (cause) =>
      new CheckpointError({
        path,
        problem: cause instanceof Error ? cause.message : String(cause),
        blame: "system",
      }),
  })
