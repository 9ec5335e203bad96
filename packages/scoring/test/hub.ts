/** A Hub on this machine with one data set, whose files come from memory, and an empty cache. */
import { Hub } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The commit of each revision. */
export const commits = { main: "a".repeat(40), v1: "b".repeat(40) }

const oid = (text: string) =>
  createHash("sha1")
    .update(`blob ${Buffer.byteLength(text)}\0${text}`)
    .digest("hex")

/** Serves files of `datasets/me/sums`, by revision and name, until the scope ends; `use` lets an effect ask it. */
export const hubOf = Effect.fnUntraced(function* (
  files: Readonly<Record<keyof typeof commits, Readonly<Record<string, string>>>>,
) {
  const filesOf = (at: string) =>
    at === "v1" || at === commits.v1
      ? files.v1
      : at === "main" || at === commits.main
        ? files.main
        : undefined
  const json = (response: ServerResponse, body: unknown) => {
    response.writeHead(200, { "content-type": "application/json" })
    response.end(JSON.stringify(body))
  }
  const log: Array<string> = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname)
    log.push(path)
    const [, kind, revision = "", file = ""] =
      /^\/(?:api\/)?datasets\/me\/sums\/(revision|tree|resolve)\/([^/]+)(?:\/(.+))?$/.exec(path) ?? []
    const own = filesOf(revision)
    if (kind === "revision" && own !== undefined)
      return json(response, { _id: "1", id: "me/sums", sha: own === files.v1 ? commits.v1 : commits.main })
    if (kind === "tree" && own !== undefined)
      return json(
        response,
        Object.entries(own).map(([name, text]) => ({
          type: "file",
          path: name,
          size: Buffer.byteLength(text),
          oid: oid(text),
        })),
      )
    const text = own?.[file]
    if (text !== undefined) return void response.end(text)
    response.writeHead(404, { "content-type": "application/json" })
    response.end(JSON.stringify({ error: "not found" }))
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      }),
  )
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "hila-hub-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true })),
  )
  const use = Effect.provideService(Hub.Settings, {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: undefined,
    cache: join(directory, "cache"),
    offline: false,
  })
  return { log, use }
})
