/**
 * A repository at a commit: its files in the cache, one by its path or those that make a checkpoint.
 *
 * A revision is asked for once per process. Where the Hub cannot be reached, the commit it was last time is used.
 */
import { type Content, Digest } from "@hila/core"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { posix } from "node:path"
import { HubError } from "../ModelError.ts"
import * as Api from "./Api.ts"
import * as Cache from "./Cache.ts"
import * as Download from "./Download.ts"
import { Settings } from "./Settings.ts"

/** A commit of a repository. */
interface Commit {
  readonly settings: Settings
  readonly layout: Cache.Layout
  readonly reference: Api.Reference
  readonly commit: string
}

/** A commit's files that a checkpoint is made of. */
export interface Repository extends Commit {
  /** Everything but weights: config, tokenizer, templates, licence. */
  readonly small: ReadonlyArray<Api.RemoteFile>
  readonly weights: ReadonlyArray<Api.RemoteFile>
}

const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

const known = new Map<string, string>()

const commitOf = Effect.fnUntraced(function* (
  settings: Settings,
  layout: Cache.Layout,
  reference: Api.Reference,
) {
  const { revision } = reference
  if (isCommit(revision)) return revision
  const key = JSON.stringify([settings.endpoint, settings.cache, reference])
  const found = known.get(key)
  if (found !== undefined) return found
  const last = Cache.commitOf(layout, revision)
  const source = Api.nameOf(reference)
  const commit = settings.offline
    ? yield* last
    : yield* Effect.catchTag(Api.commitOf(settings, reference), "HubError", (error) =>
        Effect.flatMap(Api.isOutage(error) ? last : Effect.succeed(undefined), (cached) =>
          cached === undefined ? Effect.fail(error) : Effect.succeed(cached),
        ),
      )
  if (commit === undefined) {
    const problem = "not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch it"
    return yield* new HubError({ source, problem, blame: "input" })
  }
  if (!isCommit(commit)) {
    const problem = `the Hub names no commit for it: expected 40 hexadecimal digits, got ${JSON.stringify(commit)}`
    return yield* new HubError({ source, problem, blame: "system" })
  }
  if (!settings.offline) yield* Cache.keepCommit(layout, revision, commit)
  known.set(key, commit)
  return commit
})

const isDigest = (etag: string): boolean => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)

/** Names at the top of a repository that are no path to elsewhere. */
const isPlain = (name: string): boolean => /^[^./\\][^/\\]*$/.test(name)

const companion = /\.(json|jinja|txt|model|tiktoken|spm|py)$|^(LICENSE|NOTICE)/i
const single = "model.safetensors"
const index = "model.safetensors.index.json"

const listed = Effect.fnUntraced(function* (
  { commit, layout, settings }: Commit,
  directory: string = "",
): Effect.fn.Return<ReadonlyArray<Api.RemoteFile>, HubError> {
  const cached = yield* Cache.filesOf(layout, commit, directory)
  if (cached !== undefined) return cached
  const source = Api.nameOf({ repo: layout.repo, revision: commit })
  if (settings.offline) {
    const problem =
      "its list of files is not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch the list"
    return yield* new HubError({ source, problem, blame: "input" })
  }
  const all = yield* Api.filesOf(settings, layout.repo, commit, directory)
  const start = directory === "" ? "" : `${directory}/`
  const isOwn = (path: string) => path.startsWith(start) && isPlain(path.slice(start.length))
  const files = all.filter(({ etag, path }) => isOwn(path) && isDigest(etag))
  yield* Cache.keepFiles(layout, commit, directory, files)
  return files
})

const at = Effect.fnUntraced(function* (reference: Api.Reference): Effect.fn.Return<Commit, HubError> {
  const settings = yield* Settings
  const problem = settings.offline ? undefined : Api.unusable(settings)
  if (problem !== undefined)
    return yield* new HubError({ source: Api.nameOf(reference), problem, blame: "input" })
  const layout = Cache.layout(settings.cache, reference.repo)
  const commit = yield* commitOf(settings, layout, reference)
  return { settings, layout, reference, commit }
})

/** The shards an index names. */
const shardsOf = Effect.fnUntraced(function* (source: string, path: string) {
  const refuse = (problem: string) => new HubError({ source, problem, blame: "input" })
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => refuse(String(cause)),
  })
  return yield* Effect.try({
    try: () => {
      const { weight_map: map }: { readonly weight_map: Readonly<Record<string, string>> } = JSON.parse(text)
      return new Set(Object.values(map))
    },
    catch: () => refuse("expected JSON with a weight_map"),
  })
})

/** Finds a repository at a revision, and which of its files to use. */
export const find = Effect.fnUntraced(function* (
  reference: Api.Reference,
): Effect.fn.Return<Repository, HubError> {
  const here = yield* at(reference)
  const { commit, layout, settings } = here
  const files = yield* listed(here)
  const source = Api.nameOf(reference)
  const refuse = (problem: string) => new HubError({ source, problem, blame: "input" })
  if (!files.some(({ path }) => path === "config.json"))
    return yield* refuse("no checkpoint: it has no config.json")

  const small = files.filter(({ path }) => companion.test(path))
  const whole = files.filter(({ path }) => path === single)
  if (whole.length > 0) return { ...here, small, weights: whole }
  const map = files.find(({ path }) => path === index)
  if (map === undefined)
    return yield* refuse(`no weights in safetensors: it has neither ${single} nor ${index}`)
  const shards = yield* shardsOf(`${source}/${index}`, yield* Download.ensure(settings, layout, commit, map))
  const weights = files.filter(({ path }) => shards.has(path))
  return { ...here, small, weights }
})

/** Brings a file of a repository into the cache: the path of its bytes. */
export const fetch = (
  { commit, layout, settings }: Commit,
  file: Api.RemoteFile,
): Effect.Effect<string, HubError> => Download.ensure(settings, layout, commit, file)

/** Brings files of a repository into the cache, some at the same time: name → path of the bytes. */
export const fetchFiles = (
  commit: Commit,
  files: ReadonlyArray<Api.RemoteFile>,
): Effect.Effect<Readonly<Record<string, string>>, HubError> =>
  Effect.map(
    Effect.forEach(files, (file) => Effect.map(fetch(commit, file), (path) => [file.path, path] as const), {
      concurrency: 4,
    }),
    Object.fromEntries,
  )

/** Names of a list, cut to a length that fits a line. */
const few = (names: ReadonlyArray<string>) =>
  names.length > 8 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : names.join(", ")

/** Finds one file of a repository, of a model or a data set, at a revision. */
export const file = Effect.fnUntraced(function* (
  reference: Api.Reference,
  path: string,
): Effect.fn.Return<{ readonly commit: Commit; readonly file: Api.RemoteFile }, HubError> {
  const source = `${Api.nameOf(reference)}/${path}`
  if (!path.split("/").every(isPlain)) {
    const problem = "not the path of a file: expected names with / between them"
    return yield* new HubError({ source, problem, blame: "input" })
  }
  const commit = yield* at(reference)
  const parent = posix.dirname(path)
  const files = yield* listed(commit, parent === "." ? "" : parent)
  const found = files.find((other) => other.path === path)
  if (found !== undefined) return { commit, file: found }
  const has =
    files.length === 0 ? "there are no files there" : `there are ${few(files.map((other) => other.path))}`
  return yield* new HubError({ source, problem: `there is no such file; ${has}`, blame: "input" })
})

/** A file as content: a large one has the Hub's digest, its bytes may be still to come; others are fetched and hashed. */
export const content = Effect.fnUntraced(function* (
  commit: Commit,
  file: Api.RemoteFile,
): Effect.fn.Return<Content.FileContent, HubError> {
  const { etag, large, size } = file
  if (large) return { _tag: "File", path: commit.layout.blob(etag), size, digest: etag }
  const path = yield* fetch(commit, file)
  const bytes = yield* Effect.tryPromise({
    try: () => readFile(path),
    catch: (cause) => {
      const source = `${Api.nameOf(commit.reference)}/${file.path}`
      return new HubError({ source, problem: String(cause), blame: "system" })
    },
  })
  return { _tag: "File", path, size, digest: Digest.of(bytes) }
})
