/**
 * Serves a bundle over HTTP.
 *
 * A request is bounded in bytes and in texts, one batch of texts is answered at a time and other requests wait with
 * nothing but their texts, so memory is bounded whatever comes in. On interruption the server takes no more requests, finishes those it has
 * for a few seconds, and closes.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createServer } from "node:http"
import * as Api from "./Api.ts"
import * as Bundle from "./Bundle.ts"
import * as Together from "./Together.ts"

export interface Options {
  /** 127.0.0.1 by default: this machine alone. */
  readonly host?: string
  /** 8789 by default; 0 takes any that is free. */
  readonly port?: number
}

const problem = (status: number, title: string, detail: string) =>
  HttpServerResponse.jsonUnsafe(
    { type: "about:blank", title, status, detail },
    { status, contentType: "application/problem+json" },
  )

/** Reads no body that says it is too long, or does not say how long it is. */
const bounded = HttpRouter.middleware(
  (answer) =>
    Effect.gen(function* () {
      const { headers, method } = yield* HttpServerRequest.HttpServerRequest
      if (method !== "POST") return yield* answer
      const length = Number(headers["content-length"] ?? Number.NaN)
      if (Number.isNaN(length)) {
        return problem(411, "Length Required", "the request has no content-length")
      }
      const limit = `a body of at most ${Api.maxBody} bytes is read, this one has ${length}; send fewer or shorter texts`
      return length > Api.maxBody ? problem(413, "Content Too Large", limit) : yield* answer
    }),
  { global: true },
)

const modeOf = ({ cascade, topK }: Bundle.Manifest) => {
  if (cascade !== undefined) return "cascade" as const
  return topK === undefined ? ("all" as const) : ("top-k" as const)
}

/** Opens a bundle and listens until the scope closes; succeeds with the address. */
export const serve = Effect.fnUntraced(function* (directory: string, options: Options = {}) {
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
    Layer.provideMerge(bounded),
  )
  const { host = "127.0.0.1", port = 8789 } = options
  const listening = NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: "5 seconds" })
  const server = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(listening),
  )
  const context = yield* Layer.build(server)
  return yield* Effect.provide(HttpServer.addressFormattedWith(Effect.succeed), context)
})
