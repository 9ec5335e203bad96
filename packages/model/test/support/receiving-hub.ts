/** A Hub on this machine that takes uploads: repositories, branches and commits, and a log of what was asked. */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage } from "node:http"

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const parts: Array<Uint8Array> = []
  for await (const part of request) if (part instanceof Uint8Array) parts.push(part)
  return Buffer.concat(parts)
}

interface Entry {
  readonly path: string
  readonly size: number
}

/** Starts one that knows `repos` and accepts one token; it ends with the scope. */
export const receivingHub = Effect.fnUntraced(function* (token: string, repos: ReadonlyArray<string> = []) {
  const existing = new Set(repos)
  const log: Array<string> = []
  const stored = new Map<string, Buffer>()
  /** Repository and branch to files. */
  const commits = new Map<string, Map<string, Buffer>>()
  const hub = { endpoint: "", log, commits, existing, down: undefined as RegExp | undefined }
  const server = createServer(async (request, response) => {
    const body = await bodyOf(request)
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://hub").pathname)
    const text = path.startsWith("/upload/") ? "" : body.toString()
    log.push(`${request.method} ${path}${path === "/api/repos/create" ? ` ${text}` : ""}`)
    const answer = (status: number, value: unknown) => {
      response.writeHead(status, { "content-type": "application/json" })
      response.end(JSON.stringify(value))
    }
    if (hub.down?.test(path) === true) return answer(503, { error: "down" })
    if (path.startsWith("/upload/")) {
      stored.set(createHash("sha256").update(body).digest("hex"), body)
      return answer(200, {})
    }
    if (request.headers.authorization !== `Bearer ${token}`) return answer(401, { error: "no" })
    if (path === "/api/repos/create") {
      const { name, organization } = JSON.parse(text) as Record<"name" | "organization", string>
      if (organization === "others") return answer(403, { error: "no" })
      const repo = `${organization}/${name}`
      if (existing.has(repo)) return answer(409, { error: "exists" })
      existing.add(repo)
      return answer(200, { url: `${hub.endpoint}/${repo}`, name: repo })
    }
    if (/\/branch\//.test(path)) return answer(200, {})
    if (/\/preupload\//.test(path)) {
      const { files } = JSON.parse(text) as { readonly files: ReadonlyArray<Entry> }
      const mode = (name: string) => (name.endsWith(".safetensors") ? "lfs" : "regular")
      return answer(200, { files: files.map((file) => ({ ...file, uploadMode: mode(file.path) })) })
    }
    if (path.endsWith("/objects/batch")) {
      const { objects } = JSON.parse(text) as { readonly objects: ReadonlyArray<{ readonly oid: string }> }
      const upload = (oid: string) => ({ upload: { href: `${hub.endpoint}/upload/${oid}`, header: {} } })
      const answers = objects.map((object) => ({
        ...object,
        ...(stored.has(object.oid) ? {} : { actions: upload(object.oid) }),
      }))
      return answer(200, { transfer: "basic", objects: answers })
    }
    const [, repo, branch] = /^\/api\/models\/([^/]+\/[^/]+)\/commit\/(.+)$/.exec(path) ?? []
    if (repo === undefined) return answer(404, { error: "no such page" })
    const files = new Map<string, Buffer>()
    for (const line of text.split("\n")) {
      const { key, value } = JSON.parse(line) as {
        readonly key: string
        readonly value: Record<string, string>
      }
      if (key === "file") files.set(value["path"]!, Buffer.from(value["content"]!, "base64"))
      if (key === "lfsFile") files.set(value["path"]!, stored.get(value["oid"]!)!)
    }
    commits.set(`${repo}@${branch}`, files)
    answer(200, {
      commitOid: "c".repeat(40),
      commitUrl: `${hub.endpoint}/${repo}/commit/ccc`,
      hookOutput: "",
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        hub.endpoint = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`
        resume(Effect.void)
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      }),
  )
  return hub
})
