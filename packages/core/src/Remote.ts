/**
 * A remote store behind the local one: what somebody has computed is fetched, what is computed here is offered.
 *
 * It speaks `GET`, `PUT` and `HEAD` on `/cas/<sha256>`, and `GET` and `PUT` on `/ac/<key>`, over HTTP. Records are
 * checked against their key and content against its digest, so a remote store can be wrong only about what its
 * writers computed. One that cannot be reached, or answers nonsense, is a warning and is left alone from then on.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { openAsBlob } from "node:fs"
import { join } from "node:path"
import { Action } from "./Action.ts"
import * as Canonical from "./Canonical.ts"
import * as Address from "./Address.ts"
import type { Content } from "./Content.ts"
import type { StoreError } from "./CoreError.ts"
import * as Digest from "./Digest.ts"
import * as Ingredients from "./Ingredients.ts"
import { storeTry } from "./internal/files.ts"
import { limited, text as limitedText } from "./internal/limited.ts"
import { describe } from "./internal/systemError.ts"
import { Store } from "./Store.ts"

export interface Options {
  /** Where the store is served, `http://build-cache:8788`. */
  readonly url: string
  /** What the server asks for, if it asks for any. */
  readonly token?: string
  /** Told once why the remote store is not used; logs a warning by default. */
  readonly warn?: (message: string) => Effect.Effect<void>
}

const decodeAction = Schema.decodeUnknownOption(Schema.fromJsonString(Action))

/** A record is ingredients and a few numbers, a manifest a line for each file: no more bytes than these are read. */
const maxRecord = 8 << 20
const maxManifest = 256 << 20
/** Tables and pictures of one result. */
const maxLook = 64 << 20

/** Reads what is left of a small answer, so that its connection is free again; a long one is given up. */
const drain = ({ body }: Response) =>
  body === null ? Promise.resolve("") : limitedText(body, maxRecord).catch(() => "")

/** Milliseconds for an answer to a question about a record or a blob; content may take as long as it takes. */
const patience = 10_000

/** Requests to a remote store, until the first that fails. */
const client = ({ token, url, warn = Effect.logWarning }: Options) => {
  let isDown = false
  const base = url.replace(/\/+$/, "")
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  // Errors of what sends requests may name what it was given.
  const unusable =
    Address.problem(url) ??
    (token === undefined ? undefined : Address.tokenProblem(token)?.replace(/^/, "its token "))

  const giveUp = (problem: string) =>
    Effect.suspend(() => {
      if (isDown) return Effect.void
      isDown = true
      return warn(`remote store ${Address.shown(base)}: ${problem}; going on without it`)
    })

  /** The response, or undefined for a 404 and for a remote that is of no use. */
  const request = (path: string, options: RequestInit = {}): Effect.Effect<Response | undefined> =>
    Effect.suspend(() => {
      if (isDown) return Effect.succeed(undefined)
      if (unusable !== undefined) return Effect.as(giveUp(unusable), undefined)
      return Effect.tryPromise({
        try: (signal) => fetch(`${base}${path}`, { signal, ...options, headers }),
        catch: (cause) =>
          describe(cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause),
      }).pipe(
        Effect.flatMap((response) => {
          if (response.ok) return Effect.succeed(response)
          const { status } = response
          // The connection is free again once the answer has been read.
          const drained = Effect.promise(() => drain(response))
          if (status === 404) return Effect.as(drained, undefined)
          const problem = status === 401 ? "it asks for another token" : `it answered ${status} to ${path}`
          return Effect.andThen(drained, Effect.as(giveUp(problem), undefined))
        }),
        Effect.catch((problem) => Effect.as(giveUp(problem), undefined)),
      )
    })

  const ask = (path: string, method = "GET") =>
    request(path, { method, signal: AbortSignal.timeout(patience) })

  return { request, ask, giveUp }
}

/** The local store, read through to the remote one and written through to it. */
const tiered = (local: Store["Service"], options: Options): Store["Service"] => {
  const { ask, giveUp, request } = client(options)
  /** Records found there whose content is not here yet. */
  const pending = new Map<string, Action>()

  const lookup = Effect.fnUntraced(function* (stage: string, key: string) {
    const here = yield* local.lookup(stage, key)
    if (Option.isSome(here)) return here
    const response = yield* ask(`/ac/${key}`)
    if (response === undefined) return here
    const text = yield* Effect.promise(() =>
      response.body === null ? Promise.resolve("") : limitedText(response.body, maxRecord).catch(() => ""),
    )
    const action = decodeAction(text)
    if (
      Option.isNone(action) ||
      action.value.key !== key ||
      Ingredients.key(action.value.ingredients) !== key
    ) {
      yield* giveUp(`its record of ${Digest.short(key)} is not one of that key`)
      return here
    }
    if ((yield* ask(`/cas/${action.value.digest}`, "HEAD")) === undefined) return here
    pending.set(action.value.digest, action.value)
    return action
  })

  /** Fetches a blob unless it is here; whether it is here then. */
  const fetchBlob = (digest: string, most: number): Effect.Effect<boolean, StoreError> =>
    Effect.scoped(
      Effect.gen(function* () {
        if ((yield* local.condition("file", digest)) === "whole") return true
        const response = yield* request(`/cas/${digest}`)
        if (response?.body == null) return false
        const { body } = response
        const path = join(yield* local.scratch, "value")
        const arrived = yield* Effect.result(
          storeTry("fetch", digest, (disk) => disk.receive(path, limited(body, most))),
        )
        if (arrived._tag === "Failure") {
          yield* giveUp(`${Digest.short(digest)} did not arrive: ${arrived.failure.problem}`)
          return false
        }
        if ((yield* Digest.ofFile(path)) !== digest) {
          yield* giveUp(`it answered other bytes than those of ${Digest.short(digest)}`)
          return false
        }
        yield* local.publish(path)
        return true
      }),
    )

  const content = Effect.fnUntraced(function* (
    kind: "file" | "directory",
    digest: string,
  ): Effect.fn.Return<Option.Option<Content>, StoreError> {
    const here = yield* local.content(kind, digest)
    const action = pending.get(digest)
    if (Option.isSome(here) || action === undefined) return here
    // What is fetched is as large as its record or its manifest says, and no larger.
    if (!(yield* fetchBlob(digest, kind === "file" ? action.size : maxManifest))) return here
    if (kind === "directory") {
      const entries = yield* local.manifest(digest)
      if (entries.reduce((sum, { size }) => sum + size, 0) !== action.size) {
        yield* giveUp(`its record of ${Digest.short(action.key)} does not fit its content`)
        return here
      }
      for (const entry of entries) if (!(yield* fetchBlob(entry.digest, entry.size))) return here
    }
    // Without its look a result is told by its summary alone.
    if (action.look !== undefined) yield* fetchBlob(action.look, maxLook)
    const fetched = yield* local.content(kind, digest)
    if (Option.isSome(fetched)) {
      pending.delete(digest)
      yield* local.record(action)
    }
    return fetched
  })

  const offerBlob = Effect.fnUntraced(function* (digest: string) {
    if ((yield* ask(`/cas/${digest}`, "HEAD")) !== undefined) return
    const found = yield* local.content("file", digest)
    if (Option.isNone(found) || found.value._tag !== "File") return
    const { path } = found.value
    const body = yield* storeTry("offer", path, () => openAsBlob(path))
    yield* request(`/cas/${digest}`, { method: "PUT", body })
  })

  const offer = Effect.fnUntraced(function* (action: Action) {
    const { digest, key, kind, look, source } = action
    const entries = kind === "directory" ? yield* local.manifest(digest) : []
    const beside = [source, look].filter((each) => each !== undefined)
    for (const each of new Set([...entries.map((entry) => entry.digest), digest, ...beside]))
      yield* offerBlob(each)
    yield* request(`/ac/${key}`, { method: "PUT", body: Canonical.stringify(action) })
  })

  return {
    ...local,
    lookup,
    content,
    record: (action) => Effect.andThen(local.record(action), offer(action)),
  }
}

/** Puts a remote store behind the local one it is given. */
export const layer = (options: Options): Layer.Layer<Store, never, Store> =>
  Layer.effect(
    Store,
    Effect.map(Store, (local) => tiered(local, options)),
  )
