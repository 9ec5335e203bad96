/**
 * Downloading a file into the cache: it goes on where an earlier attempt stopped, and its bytes are hashed as they come.
 *
 * Bytes arrive in `<blob>.incomplete` and get their name once size and digest are the Hub's, so a blob that is there is
 * whole.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { mkdir, open, rename, rm, stat } from "node:fs/promises"
import { dirname } from "node:path"
import { orMissing, writeFully } from "../internal/files.ts"
import { HubError } from "../ModelError.ts"
import * as Api from "./Api.ts"
import * as Cache from "./Cache.ts"
import * as Lock from "./Lock.ts"
import { Progress, type Settings } from "./Settings.ts"

/** One download at a time of each blob in this process. */
const gates = new Map<string, Semaphore.Semaphore>()

const gateOf = (blob: string): Semaphore.Semaphore => {
  const gate = gates.get(blob) ?? Semaphore.makeUnsafe(1)
  gates.set(blob, gate)
  return gate
}

const sizeOf = async (path: string): Promise<number> =>
  (await orMissing(() => stat(path), undefined))?.size ?? 0

/** Git names small files by the sha1 of their length and bytes; large ones go by the sha256 of their bytes. */
const hasherOf = ({ large, size }: Api.RemoteFile) =>
  large ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`)

const fetchBlob = Effect.fnUntraced(function* (
  settings: Settings,
  reference: Api.Reference,
  file: Api.RemoteFile,
  blob: string,
) {
  const source = `${Api.nameOf(reference)}/${file.path}`
  const partial = `${blob}.incomplete`
  const fail = (problem: string) => new HubError({ source, problem, blame: "system" })
  const onDisk = <A>(call: (signal: AbortSignal) => Promise<A>) =>
    Effect.tryPromise({
      try: call,
      catch: (cause) =>
        fail(`cannot write ${partial}: ${cause instanceof Error ? cause.message : String(cause)}`),
    })
  yield* onDisk(() => mkdir(dirname(blob), { recursive: true }))
  let done = yield* onDisk(() => sizeOf(partial))
  if (done > file.size) done = 0

  const hash = hasherOf(file)
  if (done < file.size || file.size === 0) {
    const response = yield* Api.request(settings, reference, file.path, done)
    // Only 206 goes on where the last attempt stopped.
    if (response.status !== 206) done = 0
    if (done > 0) yield* onDisk(() => absorb(hash, partial))
    const report = yield* Progress
    const arrived = (chunk: Uint8Array, so: number) => {
      hash.update(chunk)
      report({ file: source, done: so, total: file.size })
    }
    const total = yield* onDisk((signal) => receive(response, partial, done, arrived, signal))
    if (total < file.size) {
      const [part, all] = [total, file.size].map(bytes)
      return yield* fail(`the Hub stopped after ${part} of ${all}; they are kept, run it again to go on`)
    }
  } else {
    yield* onDisk(() => absorb(hash, partial))
  }
  const digest = hash.digest("hex")
  if (digest !== file.etag || (yield* onDisk(() => sizeOf(partial))) !== file.size) {
    yield* onDisk(() => rm(partial, { force: true }))
    const kind = file.large ? "sha256" : "git digest"
    return yield* fail(
      `what came is not what the Hub names: expected ${kind} ${file.etag}, got ${digest}; run it again`,
    )
  }
  yield* onDisk(() => rename(partial, blob))
})

const bytes = (count: number): string => (count < 1e6 ? `${count} bytes` : `${(count / 1e6).toFixed(1)} MB`)

const absorb = async (hash: ReturnType<typeof createHash>, path: string): Promise<void> => {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Uint8Array)
}

/** Appends what comes and gives the file's length; a stream that breaks counts as one that ended, its bytes are kept. */
const receive = async (
  response: Response,
  path: string,
  start: number,
  arrived: (chunk: Uint8Array, total: number) => void,
  signal: AbortSignal,
): Promise<number> => {
  const handle = await open(path, start === 0 ? "w" : "a")
  let total = start
  try {
    const reader = response.body?.getReader()
    signal.addEventListener("abort", () => void reader?.cancel().catch(() => undefined))
    for (;;) {
      const next = await reader?.read().catch(() => undefined)
      if (next === undefined || next.done) break
      await writeFully(handle, next.value)
      total += next.value.length
      arrived(next.value, total)
    }
    await handle.sync()
  } finally {
    await handle.close()
  }
  return total
}

/** Makes sure that a file is in the cache, under its commit's name; fetches it only where its bytes are not there. */
export const ensure = Effect.fnUntraced(function* (
  settings: Settings,
  layout: Cache.Layout,
  commit: string,
  file: Api.RemoteFile,
): Effect.fn.Return<string, HubError> {
  const reference = { repo: layout.repo, revision: commit }
  const blob = layout.blob(file.etag)
  yield* gateOf(blob).withPermit(
    Effect.gen(function* () {
      if (yield* Cache.has(layout, file)) return
      const source = `${Api.nameOf(reference)}/${file.path}`
      if (settings.offline) {
        const problem = "not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch the file"
        return yield* new HubError({ source, problem, blame: "input" })
      }
      const onFailure = (cause: unknown) =>
        new HubError({ source, problem: `cannot lock ${blob}: ${String(cause)}`, blame: "system" })
      const fetching = Effect.gen(function* () {
        // Another process may have fetched it while this one waited.
        if (!(yield* Cache.has(layout, file))) yield* fetchBlob(settings, reference, file, blob)
      })
      yield* Lock.withLock(`${blob}.lock`, onFailure, fetching)
    }),
  )
  yield* Cache.link(layout, commit, file)
  return blob
})
