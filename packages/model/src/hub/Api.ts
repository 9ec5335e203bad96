/**
 * Questions to the Hub: which commit a revision is, which files it has, bytes of a file. Nothing is kept here.
 */
import { Address } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { HubError } from "../ModelError.ts"
import type { Settings } from "./Settings.ts"

/** A repository at a revision: a branch, a tag or a commit. */
export interface Reference {
  /** `org/name` of a model, `datasets/org/name` of a data set. */
  readonly repo: string
  readonly revision: string
}

/** A file of a commit. */
export const RemoteFile = Schema.Struct({
  path: Schema.String,
  size: Schema.Int,
  /** What the cache calls its bytes: sha256 for large files, else git's sha1 of a blob. */
  etag: Schema.String,
  /** Whether `etag` is the sha256 of the bytes. */
  large: Schema.Boolean,
})
export type RemoteFile = typeof RemoteFile.Type

const datasets = "datasets/"

/** Whether a repository is a data set's. */
export const isDataset = (repo: string): boolean => repo.startsWith(datasets)

export const nameOf = ({ repo, revision }: Reference): string => `${repo}@${revision}`

/** Why nothing can be asked with these settings, without what is secret in them; undefined where it can. */
export const unusable = ({ endpoint, token }: Settings): string | undefined => {
  const [address, secret] = [
    Address.problem(endpoint),
    token === undefined ? undefined : Address.tokenProblem(token),
  ]
  if (address !== undefined) return `HF_ENDPOINT ${Address.shown(endpoint)} ${address}`
  return secret === undefined ? undefined : `the token of HF_TOKEN or of the login ${secret}`
}

/** Why a request failed: an answer that is a refusal, or none at all. */
export const failure = (source: string, settings: Settings, cause: unknown): HubError => {
  const { token } = settings
  // What sends requests names in its errors what it was given.
  const problem = unusable(settings)
  if (problem !== undefined) return new HubError({ source, problem, blame: "input" })
  const status =
    typeof cause === "object" && cause !== null && "statusCode" in cause ? cause.statusCode : cause
  const input = (problem: string) => new HubError({ source, problem, blame: "input" })
  const system = (problem: string) => new HubError({ source, problem, blame: "system" })
  switch (status) {
    case 401:
      return input(
        token === undefined
          ? "access denied (401): it is private, gated or does not exist; set HF_TOKEN to a token that may read it"
          : "access denied (401): the token of HF_TOKEN or of the login is not valid; make a new one",
      )
    case 403:
      return input(
        "access denied (403): the token of HF_TOKEN or of the login may not read it; accept its conditions on its page",
      )
    case 404:
      return input("there is no such repository, revision or file (404); check its name")
    case 429:
      return system("too many requests (429); wait a little and run it again")
  }
  if (cause instanceof TypeError && cause.message.includes("access token"))
    return input(
      "the token of HF_TOKEN or of the login is no token of the Hub: expected one that begins with hf_",
    )
  if (cause instanceof SyntaxError) return system("the Hub's answer is not JSON; is HF_ENDPOINT right?")
  if (typeof status === "number") return system(`the Hub answers ${status}; run it again later`)
  return system(`the Hub cannot be reached: ${reason(cause)}`)
}

/** Whether an answer says nothing about the repository, so that what is cached of it may be used instead. */
export const isOutage = (error: HubError): boolean => error.blame === "system"

const reason = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const inner = cause.cause
  const code = inner instanceof Error && "code" in inner ? String(inner.code) : undefined
  return (code ?? cause.message).replaceAll(/\s+/g, " ")
}

const credentials = ({ token }: Settings) => (token === undefined ? {} : { accessToken: token })

/** The commit a revision stands for now. */
export const commitOf = Effect.fnUntraced(function* (
  settings: Settings,
  reference: Reference,
): Effect.fn.Return<string, HubError> {
  const { datasetInfo, modelInfo } = yield* Effect.promise(() => import("@huggingface/hub"))
  const { repo, revision } = reference
  const { sha } = yield* Effect.tryPromise({
    try: (signal) => {
      const of = {
        name: isDataset(repo) ? repo.slice(datasets.length) : repo,
        revision,
        hubUrl: settings.endpoint,
        additionalFields: ["sha" as const],
        fetch: (input: string | URL | Request, init?: RequestInit) => fetch(input, { ...init, signal }),
        ...credentials(settings),
      }
      return isDataset(repo) ? datasetInfo(of) : modelInfo(of)
    },
    catch: (cause) => failure(nameOf(reference), settings, cause),
  })
  return sha
})

/** The files in one directory of a commit, not below it; at its top unless a directory is given. */
export const filesOf = Effect.fnUntraced(function* (
  settings: Settings,
  repo: string,
  commit: string,
  directory: string = "",
): Effect.fn.Return<ReadonlyArray<RemoteFile>, HubError> {
  const { listFiles } = yield* Effect.promise(() => import("@huggingface/hub"))
  return yield* Effect.tryPromise({
    try: async (signal) => {
      const files: Array<RemoteFile> = []
      const entries = listFiles({
        repo,
        revision: commit,
        ...(directory === "" ? {} : { path: directory }),
        hubUrl: settings.endpoint,
        fetch: (input, init) => fetch(input, { ...init, signal }),
        ...credentials(settings),
      })
      for await (const { lfs, oid = "", path, size, type } of entries) {
        if (type !== "file") continue
        files.push({ path, size: lfs?.size ?? size, etag: lfs?.oid ?? oid, large: lfs !== undefined })
      }
      return files
    },
    catch: (cause) => {
      const name = nameOf({ repo, revision: commit })
      return failure(directory === "" ? name : `${name}/${directory}`, settings, cause)
    },
  })
})

/** The answer to a request for a file from byte `start` on, to before `end` if it is given; 200 is the whole file. */
export const request = (
  settings: Settings,
  { repo, revision }: Reference,
  path: string,
  start: number,
  end?: number,
): Effect.Effect<Response, HubError> => {
  const { endpoint, token } = settings
  const source = `${nameOf({ repo, revision })}/${path}`
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(start === 0 && end === undefined
      ? {}
      : { range: `bytes=${start}-${end === undefined ? "" : end - 1}` }),
    // Bytes are counted and hashed as they are.
    "accept-encoding": "identity",
  }
  const place = path.split("/").map(encodeURIComponent).join("/")
  const url = `${endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${place}`
  return Effect.flatMap(
    Effect.tryPromise({
      try: (signal) => fetch(url, { headers, signal }),
      catch: (cause) => failure(source, settings, cause),
    }),
    (response) =>
      response.ok || response.status === 416
        ? Effect.succeed(response)
        : Effect.fail(failure(source, settings, response.status)),
  )
}

/** The first `length` bytes of a file, or all of a shorter one. */
export const head = Effect.fnUntraced(function* (
  settings: Settings,
  reference: Reference,
  path: string,
  length: number,
): Effect.fn.Return<Uint8Array, HubError> {
  const response = yield* request(settings, reference, path, 0, length)
  const source = `${nameOf(reference)}/${path}`
  return yield* Effect.tryPromise({
    try: async () => {
      const bytes = new Uint8Array(length)
      let done = 0
      // A server that knows no ranges sends everything; what is not needed is not waited for.
      for await (const chunk of response.body ?? []) {
        const part = chunk.subarray(0, length - done)
        bytes.set(part, done)
        done += part.length
        if (done === length) break
      }
      return bytes.subarray(0, done)
    },
    catch: (cause) => failure(source, settings, cause),
  })
})
