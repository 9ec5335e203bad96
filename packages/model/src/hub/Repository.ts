/**
 * A repository at a commit: which of its files make a checkpoint, and those files in the cache.
 *
 * A revision is asked for once per process. Where the Hub cannot be reached, the commit it was last time is used.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { HubError } from "../ModelError.ts"
import * as Api from "./Api.ts"
import * as Cache from "./Cache.ts"
import * as Download from "./Download.ts"
import { Settings } from "./Settings.ts"

/** A commit's files that a checkpoint is made of. */
export interface Repository {
  readonly settings: Settings
  readonly layout: Cache.Layout
  readonly reference: Api.Reference
  readonly commit: string
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

const companion = /\.(json|jinja|txt|model)$|^(LICENSE|NOTICE)/i
const single = "model.safetensors"
const index = "model.safetensors.index.json"

const listed = Effect.fnUntraced(function* (settings: Settings, layout: Cache.Layout, commit: string) {
  const cached = yield* Cache.filesOf(layout, commit)
  if (cached !== undefined) return cached
  const source = Api.nameOf({ repo: layout.repo, revision: commit })
  if (settings.offline) {
    const problem =
      "its list of files is not in the cache, and HF_HUB_OFFLINE is set; unset it to fetch the list"
    return yield* new HubError({ source, problem, blame: "input" })
  }
  const all = yield* Api.filesOf(settings, layout.repo, commit)
  const files = all.filter(({ etag, path }) => isPlain(path) && isDigest(etag))
  yield* Cache.keepFiles(layout, commit, files)
  return files
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
  const settings = yield* Settings
  const layout = Cache.layout(settings.cache, reference.repo)
  const commit = yield* commitOf(settings, layout, reference)
  const files = yield* listed(settings, layout, commit)
  const source = Api.nameOf(reference)
  const refuse = (problem: string) => new HubError({ source, problem, blame: "input" })
  if (!files.some(({ path }) => path === "config.json"))
    return yield* refuse("no checkpoint: it has no config.json")

  const small = files.filter(({ path }) => companion.test(path))
  const whole = files.filter(({ path }) => path === single)
  if (whole.length > 0) return { settings, layout, reference, commit, small, weights: whole }
  const map = files.find(({ path }) => path === index)
  if (map === undefined)
    return yield* refuse(`no weights in safetensors: it has neither ${single} nor ${index}`)
  const shards = yield* shardsOf(`${source}/${index}`, yield* Download.ensure(settings, layout, commit, map))
  const weights = files.filter(({ path }) => shards.has(path))
  return { settings, layout, reference, commit, small, weights }
})

/** Brings files of a repository into the cache, some at the same time: name → path of the bytes. */
export const fetchFiles = (
  { commit, layout, settings }: Repository,
  files: ReadonlyArray<Api.RemoteFile>,
): Effect.Effect<Readonly<Record<string, string>>, HubError> =>
  Effect.map(
    Effect.forEach(
      files,
      (file) =>
        Effect.map(Download.ensure(settings, layout, commit, file), (path) => [file.path, path] as const),
      { concurrency: 4 },
    ),
    Object.fromEntries,
  )
