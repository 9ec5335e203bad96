/** A Hub on this machine with some models, an empty cache, and a log of what was asked. */
import { Hub } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { scratch } from "./support.ts"

const commit = "0123456789abcdef0123456789abcdef01234567"

const hash = (kind: string, ...parts: ReadonlyArray<string | Uint8Array>) =>
  parts.reduce((digest, part) => digest.update(part), createHash(kind)).digest("hex")

/** Serves directories as repositories until the scope ends; `use` lets an effect ask it. */
export const hubOf = Effect.fnUntraced(function* (directories: Readonly<Record<string, string>>) {
  const log: Array<string> = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname)
    log.push(path)
    const [, repo = "", kind, , file = ""] =
      /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(revision|tree|resolve)\/([^/]+)(?:\/(.+))?$/.exec(path) ?? []
    const directory = directories[repo]
    const json = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" })
      response.end(JSON.stringify(body))
    }
    if (directory === undefined) return json(404, { error: "Repository not found" })
    if (kind === "revision") {
      return json(200, { _id: "1", id: repo, sha: commit, lastModified: "2026-01-01T00:00:00.000Z" })
    }
    const read = (name: string) => readFileSync(join(directory, name))
    const large = (name: string) => name.endsWith(".safetensors")
    const oid = (bytes: Uint8Array) => hash("sha1", `blob ${bytes.length}\0`, bytes)
    if (kind === "tree") {
      const entries = readdirSync(directory).map((name) => {
        const bytes = read(name)
        const lfs = { oid: hash("sha256", bytes), size: bytes.length, pointerSize: 134 }
        return {
          type: "file",
          path: name,
          size: bytes.length,
          oid: oid(bytes),
          ...(large(name) ? { lfs } : {}),
        }
      })
      return json(200, entries)
    }
    const bytes = read(file)
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "")
    const [start, end] =
      range === null
        ? [0, bytes.length]
        : [Number(range[1]), Math.min(Number(range[2] || bytes.length) + 1, bytes.length)]
    log.push(`${file} ${start}-${end}`)
    response.writeHead(range === null ? 200 : 206, {
      etag: `"${large(file) ? hash("sha256", bytes) : oid(bytes)}"`,
      "content-length": end - start,
      ...(range === null ? {} : { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` }),
    })
    response.end(bytes.subarray(start, end))
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      }),
  )
  const cache = join(yield* scratch, "cache")
  const use = Effect.provideService(Hub.Settings, {
    endpoint: `http://127.0.0.1:${port}`,
    token: undefined,
    cache,
    offline: false,
  })
  return { log, use }
})
