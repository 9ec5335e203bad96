/**
 * Checkpoints on the Hub: as sources of pipelines, and wherever a command takes a model.
 *
 * A revision is pinned to a commit. Files lie in the cache that all of the Hub's tools share, under the Hub's digest of
 * them: large files are never hashed here, nor fetched before somebody reads them, and what is cached is not asked for.
 */
import { type Artifact, ArtifactError, Content, type Node, SourceError } from "@hila/core"
import { entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { isAbsolute } from "node:path"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import * as Api from "./Api.ts"
import * as Cache from "./Cache.ts"
import * as Repository from "./Repository.ts"
import { failure } from "../internal/files.ts"
import * as ModelConfig from "../checkpoint/ModelConfig.ts"
import { type ArchitectureError, CheckpointError, HubError, type SafetensorsError } from "../ModelError.ts"
import * as Safetensors from "../checkpoint/Safetensors.ts"
import * as SafetensorsHeader from "../checkpoint/SafetensorsHeader.ts"
import * as TiedHead from "../checkpoint/TiedHead.ts"

export { push, type Push, type Pushed } from "./Push.ts"
export { unusable } from "./Api.ts"
export { type Downloaded, Progress, Settings } from "./Settings.ts"

/** A model on the Hub: its repository, and a branch, a tag or a commit; `main` unless given. */
export interface Options {
  readonly repo: string
  readonly revision?: string
}

const segment = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
const repoPattern = new RegExp(`^(?:${segment}/)?${segment}$`)
const revisionPattern = new RegExp(`^${segment}(?:/${segment})*$`)
const pattern = new RegExp(`^(${segment}/${segment})(?:@(.+))?$`)

/** `org/name` or `org/name@revision` as options, or undefined where a text is neither. */
export const parse = (text: string): Options | undefined => {
  const [, repo, revision] = pattern.exec(text) ?? []
  if (repo === undefined) return undefined
  return revision === undefined ? { repo } : { repo, revision }
}

/** The repository whose snapshot a directory is, by its path in the cache that Hub clients share; else undefined. */
export const repoOf = (directory: string): string | undefined => {
  const [, owner, name] = /[/\\]models--(.+?)--(.+?)[/\\]snapshots[/\\][^/\\]+[/\\]?$/.exec(directory) ?? []
  return owner === undefined ? undefined : parse(`${owner}/${name}`)?.repo
}

const referenceOf = Effect.fnUntraced(function* ({ repo, revision = "main" }: Options) {
  const valid = repoPattern.test(repo) && revisionPattern.test(revision) && !revision.includes("..")
  if (valid) return { repo, revision }
  const problem = "not the name of a repository: expected org/name or org/name@revision"
  return yield* new HubError({ source: `${repo}@${revision}`, problem, blame: "input" })
})

const repositoryOf = (options: Options) => Effect.flatMap(referenceOf(options), Repository.find)

/** A header by two range requests at most, or from the cache. */
const headerOf = Effect.fnUntraced(function* (
  { commit, layout, reference, settings }: Repository.Repository,
  file: Api.RemoteFile,
) {
  if (yield* Cache.has(layout, file)) return yield* Safetensors.open(layout.blob(file.etag))
  const at = { repo: reference.repo, revision: commit }
  const source = `${Api.nameOf(reference)}/${file.path}`
  const first = yield* Api.head(settings, at, file.path, Math.min(file.size, 2 ** 16))
  const length = yield* SafetensorsHeader.parseLength(first, source, file.size)
  const end = 8 + length
  const bytes = end <= first.length ? first : yield* Api.head(settings, at, file.path, end)
  return yield* SafetensorsHeader.parse(bytes.subarray(8, end), source, file.size)
})

/** The small files of a repository by the names that its commit gives them in the cache. */
const smallFiles = ({ commit, layout, small }: Repository.Repository) =>
  Object.fromEntries(small.map(({ path }) => [path, layout.snapshot(commit, path)]))

/** A model without its weights: its small files, and names, types and shapes of its tensors. None of them can be read. */
export const inspect = Effect.fnUntraced(function* (
  options: Options,
): Effect.fn.Return<Checkpoint, HubError | CheckpointError | SafetensorsError> {
  const repository = yield* repositoryOf(options)
  yield* Repository.fetchFiles(repository, repository.small)
  const files = smallFiles(repository)
  const path = entryOr(files, "config.json", "config.json")
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => new CheckpointError({ path, ...failure(cause) }),
  })
  const config = yield* ModelConfig.parse(text, `${Api.nameOf(repository.reference)}/config.json`)
  const headers = yield* Effect.forEach(repository.weights, (file) => headerOf(repository, file), {
    concurrency: 4,
  })
  return { files, config, tensors: new Map(headers.flatMap(({ tensors }) => [...tensors])) }
})

/** Fetches what is not cached yet, and opens the checkpoint. */
export const open = Effect.fnUntraced(function* (
  options: Options,
): Effect.fn.Return<Checkpoint, HubError | CheckpointError | SafetensorsError> {
  const repository = yield* repositoryOf(options)
  const { reference, small, weights } = repository
  const fetched = yield* Repository.fetchFiles(repository, [...small, ...weights])
  return yield* Checkpoints.fromFiles({ ...fetched, ...smallFiles(repository) }, Api.nameOf(reference))
})

/** A model as people write it: `org/name` or `org/name@revision`, unless that is a file or directory of theirs. */
const remote = (text: string): Options | undefined => (existsSync(text) ? undefined : parse(text))

/** What other programs call a model that a person named: a repository, or a path that cannot be taken for one. */
export const nameOf = (text: string): { readonly name: string; readonly revision: string | undefined } => {
  const { repo = repoOf(text), revision } = remote(text) ?? {}
  if (repo !== undefined) return { name: repo, revision }
  // `org/name` is a directory here, and elsewhere would be asked of the Hub.
  const isPath = isAbsolute(text) || /^\.\.?(?:[/\\]|$)/.test(text)
  return { name: isPath ? text : `./${text}`, revision: undefined }
}

/** A name that the Hub does not know may be a path with a slip in it, which only its writer can tell. */
const orPath =
  (text: string) =>
  (error: HubError | CheckpointError | SafetensorsError): HubError | CheckpointError | SafetensorsError =>
    error._tag !== "HubError" || text.includes("@")
      ? error
      : new HubError({
          source: error.source,
          problem: `${error.problem}; nor is there a directory ${text}`,
          blame: error.blame,
        })

/** Opens a checkpoint as people name it: a directory, or a model of the Hub. */
export const openPath = (
  text: string,
): Effect.Effect<Checkpoint, HubError | CheckpointError | SafetensorsError> => {
  const options = remote(text)
  return options === undefined ? Checkpoints.open(text) : Effect.mapError(open(options), orPath(text))
}

/** The same without the weights of a model of the Hub. */
export const inspectPath = (
  text: string,
): Effect.Effect<Checkpoint, HubError | CheckpointError | SafetensorsError> => {
  const options = remote(text)
  return options === undefined ? Checkpoints.open(text) : Effect.mapError(inspect(options), orPath(text))
}

/**
 * Opens a model that is to run. One of the Hub that cannot, for its config or its tensors, is refused before its weights
 * are fetched.
 */
export const model = Effect.fnUntraced(function* (
  text: string,
): Effect.fn.Return<Checkpoint, HubError | CheckpointError | SafetensorsError | ArchitectureError> {
  yield* Checkpoints.examine(yield* inspectPath(text), TiedHead.unread)
  return yield* openPath(text)
})

/** A checkpoint as people name it, as the leaf of a pipeline. */
export const source = (text: string): Node.SourceNode<Checkpoint> => {
  const options = remote(text)
  return options === undefined ? Checkpoints.source(text) : checkpoint(options)
}

/** The checkpoint as content. */
const contentOf = Effect.fnUntraced(function* (options: Options) {
  const repository = yield* repositoryOf(options)
  const files = yield* Effect.forEach(
    [...repository.small, ...repository.weights],
    (file) => Effect.map(Repository.content(repository, file), (content) => [file.path, content] as const),
    { concurrency: 4 },
  )
  return Content.directory(Object.fromEntries(files))
})

/**
 * A checkpoint of the Hub, as the leaf of a pipeline. Planning reads its small files; weights are fetched when a stage
 * that has to run reads it.
 */
export const checkpoint = (options: Options): Node.SourceNode<Checkpoint> => {
  const name = `${options.repo}@${options.revision ?? "main"}`
  const artifact: Artifact.Artifact<Checkpoint> = {
    ...Checkpoints.artifact,
    decode: (content) =>
      open(options).pipe(
        Effect.mapError((error) => {
          const [path, problem] =
            error._tag === "HubError" ? [error.source, error.problem] : [name, error.message]
          return new ArtifactError({ artifact: "checkpoint", path, problem, blame: error.blame })
        }),
        Effect.andThen(Checkpoints.artifact.decode(content)),
      ),
  }
  return Object.freeze({
    kind: "source",
    artifact,
    label: name,
    resolve: () =>
      Effect.mapError(
        contentOf(options),
        ({ blame, problem, source }) => new SourceError({ path: source, problem, blame }),
      ),
  })
}
