/**
 * The Hub's cache on disk, in the layout that all of its tools share, so that no file is fetched twice:
 *
 *   models--org--name/refs/main                    the commit that `main` was
 *   models--org--name/blobs/<etag>                 bytes, under the Hub's own digest of them
 *   models--org--name/snapshots/<commit>/<file>    a link to a blob
 *   models--org--name/.trees/<commit>.json         Hila's own: the files of a commit, so that it is asked for once
 *   models--org--name/.trees/<commit>/<directory>.json  those of a directory in it
 *
 * Data sets lie in datasets--org--name.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { orMissing, symlinkOrCopy } from "../internal/files.ts"
import { HubError } from "../ModelError.ts"
import { isDataset, RemoteFile } from "./Api.ts"

/** The places of a repository in the cache. */
export interface Layout {
  readonly repo: string
  readonly ref: (revision: string) => string
  readonly blob: (etag: string) => string
  readonly snapshot: (commit: string, file: string) => string
  readonly tree: (commit: string, directory: string) => string
}

export const layout = (cache: string, repo: string): Layout => {
  const root = join(cache, `${isDataset(repo) ? "" : "models/"}${repo}`.replaceAll("/", "--"))
  return {
    repo,
    ref: (revision) => join(root, "refs", revision),
    blob: (etag) => join(root, "blobs", etag),
    snapshot: (commit, file) => join(root, "snapshots", commit, file),
    tree: (commit, directory) =>
      join(root, ".trees", `${directory === "" ? commit : join(commit, directory)}.json`),
  }
}

const attempt = <A>(source: string, path: string, call: () => Promise<A>): Effect.Effect<A, HubError> =>
  Effect.tryPromise({
    try: call,
    catch: (cause) =>
      new HubError({
        source,
        problem: `the cache cannot be used: ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
        blame: "system",
      }),
  })

const readIfThere = (path: string): Promise<string | undefined> =>
  orMissing(() => readFile(path, "utf8"), undefined)

const writeAtomic = async (path: string, text: string): Promise<void> => {
  const temporary = `${path}.${randomUUID()}.tmp`
  await mkdir(dirname(path), { recursive: true })
  await writeFile(temporary, text)
  await rename(temporary, path)
}

/** The commit that a revision was when it was last asked for. */
export const commitOf = (
  { ref, repo }: Layout,
  revision: string,
): Effect.Effect<string | undefined, HubError> =>
  Effect.map(
    attempt(repo, ref(revision), () => readIfThere(ref(revision))),
    (text) => text?.trim(),
  )

export const keepCommit = ({ ref, repo }: Layout, revision: string, commit: string) =>
  attempt(repo, ref(revision), () => writeAtomic(ref(revision), commit))

const Tree = Schema.fromJsonString(Schema.Array(RemoteFile))

/** The files of a commit's directory, if they are known. */
export const filesOf = Effect.fnUntraced(function* (
  { repo, tree }: Layout,
  commit: string,
  directory: string,
) {
  const path = tree(commit, directory)
  const text = yield* attempt(repo, path, () => readIfThere(path))
  if (text === undefined) return undefined
  // A listing that cannot be read is asked for again.
  const files = yield* Effect.option(Schema.decodeUnknownEffect(Tree)(text))
  return files._tag === "Some" ? files.value : undefined
})

export const keepFiles = (
  { repo, tree }: Layout,
  commit: string,
  directory: string,
  files: ReadonlyArray<RemoteFile>,
) => {
  const path = tree(commit, directory)
  return attempt(repo, path, () => writeAtomic(path, JSON.stringify(files)))
}

/** Whether the bytes of a file are there, whole. */
export const has = ({ blob, repo }: Layout, { etag, size }: RemoteFile): Effect.Effect<boolean, HubError> =>
  attempt(repo, blob(etag), async () => (await orMissing(() => stat(blob(etag)), undefined))?.size === size)

/** Gives a commit's file its name, as a link to its bytes. */
export const link = ({ blob, repo, snapshot }: Layout, commit: string, { etag, path }: RemoteFile) => {
  const name = snapshot(commit, path)
  return attempt(repo, name, async () => {
    await mkdir(dirname(name), { recursive: true })
    await symlinkOrCopy(relative(dirname(name), blob(etag)), name, blob(etag))
  })
}
