/**
 * Serves a bundle over HTTP.
 *
 * A request is bounded in bytes and in texts, one batch of texts is answered at a time, a bounded number of other requests
 * wait with nothing but their texts, and more are refused: memory is bounded whatever comes in. A client that withholds its
 * request loses its place after a few seconds, or at once to one that has sent its own. On interruption the server takes
 * no more requests, finishes those it has for a few seconds, and closes.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createServer } from "node:http"
import { CollabError } from "../CollabError.ts"
import * as Api from "./Api.ts"
import * as Bundle from "./Bundle.ts"
import * as Together from "./Together.ts"

export interface Options {
  /** 127.0.0.1 by default: this machine alone. */
  readonly host?: string
  /** 8789 by default; 0 takes any that is free. */
  readonly port?: number
  /** Requests that are read, wait or are answered at once; 512 by default, beyond which they get 503. */
  readonly most?: number
  /** Seconds that requests have to be finished in when the server stops; 5 by default. */
  readonly grace?: number
  /** Seconds that a request's body may take to arrive; 10 by default. */
  readonly patience?: number
}

const problem = (status: number, title: string, detail: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.jsonUnsafe(
    { type: "about:blank", title, status, detail },
    { status, headers, contentType: "application/problem+json" },
  )

/** What there is to ask, by path. */
const methods = new Map([
  ["/", "GET"],
  ["/answer", "POST"],
  ["/openapi.json", "GET"],
])
const offered = [...methods].map(([path, method]) => `${method} ${path}`).join(", ")

/** Why a request is not even looked at: nothing is there, or its body is too long or of unknown length. */
const refusal = ({ headers, method, url }: HttpServerRequest.HttpServerRequest) => {
  const path = url.replace(/[?#].*$/, "")
  const asked = method === "HEAD" ? "GET" : method
  const known = methods.get(path)
  if (known === undefined) return problem(404, "Not Found", `nothing is at ${path}; there are ${offered}`)
  if (asked !== known) {
    return problem(405, "Method Not Allowed", `${path} is asked with ${known}, not ${method}`, {
      allow: known,
    })
  }
  if (asked !== "POST") return undefined
  const length = Number(headers["content-length"] ?? Number.NaN)
  if (Number.isNaN(length)) {
    return problem(411, "Length Required", "the request has no content-length; send the body's size in bytes")
  }
  const limit = `a body of at most ${Api.maxBody} bytes is read, this one has ${length}; send fewer or shorter texts`
  return length > Api.maxBody ? problem(413, "Content Too Large", limit) : undefined
}

const late = problem(408, "Request Timeout", "the request's body did not arrive in time; send it at once", {
  connection: "close",
})

/**
 * Reads no body that says it is too long or does not say how long it is, nor more than `most` bodies at once, and gives
 * every refusal a reason. Whoever has waited longest for a body gives its place to a new request.
 */
const bounded = (most: number, patience: number) => {
  let held = 0
  /** Those whose bodies are on their way, the first first. */
  const reading = new Set<{ readonly arrived: Deferred.Deferred<boolean>; hasPlace: boolean }>()
  const busy = problem(
    503,
    "Service Unavailable",
    `${most} requests are waiting for their answers; ask again in a moment`,
    { "retry-after": "1" },
  )
  return HttpRouter.middleware(
    (answer) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
        const refused = refusal(request)
        if (refused !== undefined) return Effect.succeed(refused)
        if (request.method !== "POST") return answer
        if (held >= most) {
          const [slowest] = reading
          if (slowest === undefined) return Effect.succeed(busy)
          reading.delete(slowest)
          slowest.hasPlace = false
          Deferred.doneUnsafe(slowest.arrived, Effect.succeed(false))
        } else held++
        // Whether the body has arrived, or its place was taken away.
        const arrived = Deferred.makeUnsafe<boolean>()
        const own = { arrived, hasPlace: true }
        reading.add(own)
        return Effect.gen(function* () {
          // A text that has been read is kept with its request, so that whoever answers has it at once. Reading is not
          // interrupted: that would close the connection before the client was told.
          yield* Effect.forkDetach(
            Effect.andThen(
              Effect.exit(request.text),
              Effect.sync(() => Deferred.doneUnsafe(arrived, Effect.succeed(true))),
            ),
          )
          const found = yield* Effect.timeoutOption(Deferred.await(arrived), patience * 1000)
          reading.delete(own)
          return Option.contains(found, true) ? yield* answer : late
        }).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              reading.delete(own)
              // A place that was given away is held by whoever took it.
              if (own.hasPlace) held--
            }),
          ),
        )
      }),
    { global: true },
  )
}

/** Why an address cannot be listened on. */
const unheard = (cause: unknown): string => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  if (code === "EADDRINUSE") return "the port is in use; give another one, or 0 for any that is free"
  return `cannot be listened on: ${cause instanceof Error ? cause.message : String(cause)}`
}

const modeOf = ({ cascade, topK }: Bundle.Manifest) => {
  if (cascade !== undefined) return "cascade" as const
  return topK === undefined ? ("all" as const) : ("top-k" as const)
}

/** Opens a bundle and listens until the scope closes; succeeds with the address. Fails where the port is taken. */
export const serve = Effect.fnUntraced(function* (directory: string, options: Options = {}) {
  const { grace = 5, host = "127.0.0.1", most = 512, patience = 10, port = 8789 } = options
  const { answer, manifest } = yield* Bundle.open(directory)
  const together = Together.make(answer, Api.maxTexts)
  const handlers = HttpApiBuilder.group(Api.api, "collab", (handle) =>
    handle.handleAll({
      answer: ({ payload }) =>
        together(payload.texts).pipe(
          Effect.map((answers) => ({ answers })),
          Effect.orDie,
        ),
      describe: () =>
        Effect.succeed({
          classes: manifest.classes,
          experts: manifest.experts.map(({ name }) => name),
          mode: modeOf(manifest),
        }),
    }),
  )
  const routes = HttpApiBuilder.layer(Api.api, { openapiPath: "/openapi.json" }).pipe(
    Layer.provide(handlers),
    Layer.provide(HttpApiMiddleware.layerProblemDetails({ includeDetails: true })),
    Layer.provideMerge(bounded(most, patience)),
  )
  // Heads of requests are Node's matter, and no more patient.
  const limits = { headersTimeout: Math.min(patience * 1000, 60_000), connectionsCheckingInterval: 1000 }
  const node = createServer(limits)
  const listening = NodeHttpServer.layer(() => node, {
    host,
    port,
    gracefulShutdownTimeout: grace * 1000,
  })
  const server = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(listening),
  )
  const context = yield* Effect.catchTag(Layer.build(server), "ServeError", ({ cause }) =>
    Effect.fail(new CollabError({ subject: `${host}:${port}`, problem: unheard(cause) })),
  )
  // First of all when the scope closes: the server waits for its connections, and some clients never end theirs.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      setTimeout(() => node.closeAllConnections(), grace * 1000).unref()
    }),
  )
  return yield* Effect.provide(HttpServer.addressFormattedWith(Effect.succeed), context)
})
