/**
 * The server of a store, for `Remote` in other processes and on other machines.
 *
 * It takes nothing on trust: content is kept under the digest of the bytes that arrived, a record only if its key is
 * that of its ingredients and its content is there. Whoever may write can still claim wrong results, which is why
 * it listens to this machine alone unless there is a token.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { timingSafeEqual } from "node:crypto"
import { createReadStream } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { Action } from "./Action.ts"
import * as Canonical from "./Canonical.ts"
import { ServeError } from "./CoreError.ts"
import * as Digest from "./Digest.ts"
import * as Ingredients from "./Ingredients.ts"
import { storeTry } from "./internal/files.ts"
import { describe } from "./internal/systemError.ts"
import { Store } from "./Store.ts"

export interface Options {
  /** 127.0.0.1 by default: this machine alone. Any other address needs a token. */
  readonly host?: string
  /** 8788 by default; 0 takes any that is free. */
  readonly port?: number
  readonly token?: string
}

/** A record is ingredients and a few numbers; parameters may be long, but not this long. 8 MiB. */
const maxRecord = 8 << 20

interface Answer {
  readonly status: number
  readonly text?: string
  readonly file?: { readonly path: string; readonly size: number }
}

const decodeAction = Schema.decodeUnknownOption(Schema.fromJsonString(Action))

/** Compares digests, so that the time it takes says nothing about the token. */
const isAllowed = (token: string | undefined, given: string | undefined): boolean =>
  token === undefined ||
  timingSafeEqual(Buffer.from(Digest.of(`Bearer ${token}`)), Buffer.from(Digest.of(given ?? "")))

const textOf = async (request: IncomingMessage): Promise<string | undefined> => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > maxRecord) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

const takeBlob = (request: IncomingMessage, digest: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Store
      const path = join(yield* store.scratch, "value")
      yield* storeTry("receive", path, (disk) => disk.receive(path, request))
      if ((yield* Digest.ofFile(path)) !== digest)
        return { status: 400, text: "these bytes have another digest" }
      yield* store.publish(path)
      return { status: 201 }
    }),
  )

const takeRecord = Effect.fnUntraced(function* (request: IncomingMessage, key: string) {
  const store = yield* Store
  const text = yield* Effect.promise(() => textOf(request))
  const action = text === undefined ? Option.none() : decodeAction(text)
  if (Option.isNone(action) || action.value.key !== key || Ingredients.key(action.value.ingredients) !== key)
    return { status: 400, text: "this is not a record of that key" }
  const { digest, kind } = action.value
  if ((yield* store.condition(kind, digest)) !== "whole")
    return { status: 409, text: "its content is not here" }
  yield* store.record(action.value)
  return { status: 201 }
})

const answer = Effect.fnUntraced(function* (
  request: IncomingMessage,
): Effect.fn.Return<Answer, unknown, Store> {
  const store = yield* Store
  const [, area, name = ""] = /^\/(cas|ac)\/([0-9a-f]{64})$/.exec(request.url ?? "") ?? []
  if (area === undefined) return { status: 404 }
  if (request.method === "PUT")
    return yield* area === "cas" ? takeBlob(request, name) : takeRecord(request, name)
  if (request.method !== "GET" && request.method !== "HEAD") return { status: 405 }
  if (area === "cas") {
    const found = yield* store.content("file", name)
    return Option.isSome(found) && found.value._tag === "File"
      ? { status: 200, file: found.value }
      : { status: 404 }
  }
  const action = (yield* store.actions).find(({ key }) => key === name)
  if (action === undefined || (yield* store.condition(action.kind, action.digest)) !== "whole")
    return { status: 404 }
  return { status: 200, text: Canonical.stringify(action) }
})

const send = async (request: IncomingMessage, response: ServerResponse, { file, status, text }: Answer) => {
  if (file === undefined) {
    response.writeHead(status).end(text)
    return
  }
  response.writeHead(status, { "content-length": file.size })
  if (request.method === "HEAD") response.end()
  else await pipeline(createReadStream(file.path), response)
}

/** Serves the store until the scope closes; the address it listens on. */
export const serve = Effect.fn("StoreServer.serve")(function* (options: Options = {}) {
  const { host = "127.0.0.1", port = 8788, token } = options
  if (token === undefined && !["127.0.0.1", "::1", "localhost"].includes(host)) {
    const problem = "other machines can reach it: give it a token"
    return yield* new ServeError({ address: host, problem })
  }
  const context = yield* Effect.context<Store>()
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (!isAllowed(token, request.headers.authorization)) return void response.writeHead(401).end()
    const exit = await Effect.runPromiseExit(Effect.provide(answer(request), context))
    await send(request, response, Exit.isSuccess(exit) ? exit.value : { status: 500 })
    return undefined
  }
  // A blob may take longer than the five minutes that a request has otherwise; whoever sends one has the token.
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: () =>
        new Promise<void>((resolve, reject) => {
          server.once("error", reject).listen(port, host, resolve)
        }),
      catch: (cause) => new ServeError({ address: `${host}:${port}`, problem: describe(cause) }),
    }),
    () =>
      Effect.promise(
        () =>
          new Promise<void>((resolve) => {
            server.closeAllConnections()
            server.close(() => resolve())
          }),
      ),
  )
  const address = server.address()
  const bound = typeof address === "object" && address !== null ? address.port : port
  return `http://${host.includes(":") ? `[${host}]` : host}:${bound}`
})
