/** A Hub on this machine: repositories from directories, a log of what was asked, and faults on demand. */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { join, relative } from "node:path"

/** What may go wrong with a request: a status, another answer, one that ends early, bytes that are not the file's, no ranges. */
export type Fault =
  | { readonly status: number }
  | { readonly text: string }
  /** Bytes, and from when on the connection may end; at once by default. */
  | { readonly stopAfter: number; readonly once?: () => boolean }
  | { readonly corrupt: true }
  | { readonly ignoreRange: true }

export interface MockHub {
  readonly endpoint: string
  /** Method, path and range of every request. */
  readonly log: Array<string>
  readonly headers: Array<IncomingMessage["headers"]>
  /** The fault of the requests whose line in the log matches. */
  fault: { readonly when: RegExp; readonly what: Fault } | undefined
  /** Refuses everything, as a Hub that is down. */
  readonly close: Effect.Effect<void>
  readonly sha256: (repo: string, file: string) => string
}

export const commit = "0123456789abcdef0123456789abcdef01234567"

const digest = (kind: "sha1" | "sha256", ...parts: ReadonlyArray<string | Uint8Array>) =>
  parts.reduce((hash, part) => hash.update(part), createHash(kind)).digest("hex")

const isLarge = (name: string) => /\.(safetensors|parquet)$/.test(name)

const etagOf = (name: string, bytes: Uint8Array) =>
  isLarge(name) ? digest("sha256", bytes) : digest("sha1", `blob ${bytes.length}\0`, bytes)

type Files = ReadonlyMap<string, Uint8Array>

/** All files below a directory by their paths in it. */
const filesBelow = (directory: string): Files =>
  new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((found) => found.isFile())
      .map((found) => {
        const path = join(found.parentPath, found.name)
        return [relative(directory, path), readFileSync(path)]
      }),
  )

/** What a directory of a repository has in it: files, and directories of further ones. */
const listing = (files: Files, directory: string) => {
  const start = directory === "" ? "" : `${directory}/`
  const inside = [...files].filter(([path]) => path.startsWith(start))
  const below = inside.flatMap(([path]) => /^[^/]+(?=\/)/.exec(path.slice(start.length)) ?? [])
  return [
    ...[...new Set(below)].map((name) => ({ type: "directory", path: start + name, size: 0, oid: "" })),
    ...inside.filter(([path]) => !path.slice(start.length).includes("/")).map(entry),
  ]
}

const entry = ([path, bytes]: readonly [string, Uint8Array]) => ({
  type: "file",
  path,
  size: bytes.length,
  oid: digest("sha1", `blob ${bytes.length}\0`, bytes),
  ...(isLarge(path) ? { lfs: { oid: digest("sha256", bytes), size: bytes.length, pointerSize: 134 } } : {}),
})

const json = (response: ServerResponse, status: number, body: unknown) => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

const sendFile = (
  request: IncomingMessage,
  response: ServerResponse,
  name: string,
  whole: Uint8Array,
  fault: Fault | undefined,
) => {
  const bytes =
    fault !== undefined && "corrupt" in fault ? whole.map((byte, i) => (i === 100 ? byte ^ 1 : byte)) : whole
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "")
  const ranged = range !== null && !(fault !== undefined && "ignoreRange" in fault)
  const start = ranged ? Number(range[1]) : 0
  const end = ranged && range[2] !== "" ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length
  response.writeHead(ranged ? 206 : 200, {
    etag: `"${etagOf(name, whole)}"`,
    "content-length": end - start,
    ...(ranged ? { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` } : {}),
  })
  if (fault !== undefined && "stopAfter" in fault) {
    const { once = () => true, stopAfter } = fault
    const stop = () => {
      if (response.destroyed) return
      if (once()) request.socket.end()
      else setTimeout(stop, 1)
    }
    response.write(bytes.subarray(start, Math.min(end, start + stopAfter)), stop)
  } else {
    response.end(bytes.subarray(start, end))
  }
}

/**
 * Starts a Hub whose repositories are directories of files, `datasets/org/name` for a data set; it ends with the scope.
 */
export const mockHub = Effect.fnUntraced(function* (directories: Readonly<Record<string, string>>) {
  const repositories = new Map<string, Files>(
    Object.entries(directories).map(([repo, directory]) => [repo, filesBelow(directory)]),
  )
  const log: Array<string> = []
  const headers: Array<IncomingMessage["headers"]> = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname)
    const range = request.headers.range === undefined ? "" : ` ${request.headers.range}`
    const line = `${request.method} ${path}${range}`
    log.push(line)
    headers.push(request.headers)
    const fault = hub.fault?.when.test(line) === true ? hub.fault.what : undefined
    if (fault !== undefined && "text" in fault) return void response.end(fault.text)
    if (fault !== undefined && "status" in fault)
      return json(response, fault.status, { error: "refused\nby the test" })
    const found =
      /^\/(?:api\/(?:models\/)?)?((?:datasets\/)?[^/]+\/[^/]+)\/(revision|tree|resolve)\/(refs\/convert\/parquet|[^/]+)(?:\/(.+))?$/.exec(
        path,
      )
    const [, repo = "", kind, revision = "", file = ""] = found ?? []
    const files = repositories.get(repo)
    if (files === undefined || !["main", "v1", "refs/convert/parquet", commit].includes(revision)) {
      return json(response, 404, { error: "Repository or revision not found" })
    }
    if (kind === "revision") {
      return json(response, 200, {
        _id: "1",
        id: repo,
        sha: commit,
        lastModified: "2026-01-01T00:00:00.000Z",
      })
    }
    if (kind === "tree") {
      const entries = listing(files, file)
      return entries.length === 0 && file !== ""
        ? json(response, 404, { error: "Entry not found" })
        : json(response, 200, entries)
    }
    const bytes = files.get(file)
    if (bytes === undefined) return json(response, 404, { error: "Entry not found" })
    sendFile(request, response, file, bytes, fault)
  })
  const close = Effect.callback<void>((resume) => {
    server.closeAllConnections()
    server.close(() => resume(Effect.void))
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () => close,
  )
  const hub: MockHub = {
    endpoint: `http://127.0.0.1:${port}`,
    log,
    headers,
    fault: undefined,
    close,
    sha256: (repo, file) => digest("sha256", repositories.get(repo)?.get(file) ?? ""),
  }
  return hub
})
