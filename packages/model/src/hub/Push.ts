/**
 * A checkpoint on its way to the Hub: every file of its directory as one commit.
 *
 * Large files are hashed and sent first, so a repository never shows half a checkpoint: the commit is made last, and
 * what an earlier attempt has sent is not sent again.
 */
import { entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { stat } from "node:fs/promises"
import { pathToFileURL } from "node:url"
import * as Checkpoint from "../checkpoint/Checkpoint.ts"
import { failure as fileFailure } from "../internal/files.ts"
import { CheckpointError, HubError, type SafetensorsError } from "../ModelError.ts"
import * as Api from "./Api.ts"
import { Progress, Settings } from "./Settings.ts"

/** What to push, and where to. */
export interface Push {
  /** A checkpoint's directory; all files at its top and below are sent. */
  readonly directory: string
  /** `org/name`; made if it does not exist. */
  readonly repo: string
  /** A branch, made if it does not exist; `main` by default. */
  readonly revision?: string | undefined
  /** Whether a repository that is made can be seen by others; one that exists stays as it is. */
  readonly private?: boolean | undefined
}

/** What became of it. */
export interface Pushed {
  /** Where a browser finds the files. */
  readonly url: string
  readonly commit: string
  readonly files: number
  readonly bytes: number
}

const name = /^[A-Za-z0-9_][A-Za-z0-9_.-]*\/[A-Za-z0-9_][A-Za-z0-9_.-]*$/
const branchName = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/

/**
 * Sends a checkpoint to a repository of the Hub, as one commit. `Progress` is told of each file.
 *
 * Fails with a `HubError` where there is no token, or the Hub refuses; with a `CheckpointError` or a `SafetensorsError`
 * where the directory is no checkpoint, before anything is asked of the Hub.
 */
export const push = Effect.fn("Hub.push")(function* ({
  directory,
  private: isPrivate = false,
  repo,
  revision = "main",
}: Push): Effect.fn.Return<Pushed, HubError | CheckpointError | SafetensorsError> {
  const settings = yield* Settings
  const progress = yield* Progress
  const source = Api.nameOf({ repo, revision })
  const refuse = (problem: string) => new HubError({ source, problem, blame: "input" })
  if (!name.test(repo)) return yield* refuse("not the name of a repository: expected org/name")
  if (!branchName.test(revision) || revision.includes(".."))
    return yield* refuse("not the name of a branch: expected letters, digits and . _ - /")
  const { offline, token } = settings
  if (offline) return yield* refuse("HF_HUB_OFFLINE is set; unset it to push")
  if (token === undefined) return yield* refuse("pushing needs a token: set HF_TOKEN to one that may write")
  const files = yield* filesOf(directory)
  const hub = yield* Effect.promise(() => import("@huggingface/hub"))
  const attempt = <A>(call: (signal: AbortSignal) => Promise<A>) =>
    Effect.tryPromise({ try: call, catch: (cause) => refusal(source, settings, cause) })
  const to = { repo: { type: "model", name: repo }, hubUrl: settings.endpoint, accessToken: token } as const
  yield* attempt((signal) =>
    existing(
      hub.createRepo({
        ...to,
        ...(isPrivate ? { visibility: "private" as const } : {}),
        fetch: (input, init) => fetch(input, { ...init, signal }),
      }),
    ),
  )
  if (revision !== "main") {
    yield* attempt((signal) =>
      existing(
        hub.createBranch({
          ...to,
          branch: revision,
          fetch: (input, init) => fetch(input, { ...init, signal }),
        }),
      ),
    )
  }
  const sizes = new Map(files.map(({ path, size }) => [path, size]))
  const commit = yield* attempt(async (signal) => {
    const events = hub.uploadFilesWithProgress({
      ...to,
      branch: revision,
      commitTitle: "Upload a checkpoint with Hila",
      files: files.map(({ at, path }) => ({ path, content: pathToFileURL(at) })),
      abortSignal: signal,
    })
    for (;;) {
      const { done, value } = await events.next()
      if (done === true) return value?.commit
      if (value.event !== "fileProgress" || value.state !== "uploading") continue
      const total = entryOr(sizes, value.path, 0)
      progress({ file: `${source}/${value.path}`, done: Math.round(value.progress * total), total })
    }
  })
  return {
    url: `${settings.endpoint}/${repo}${revision === "main" ? "" : `/tree/${revision}`}`,
    commit: commit?.oid ?? "",
    files: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
  }
})

/** The files of a directory that is a checkpoint, with their sizes. */
const filesOf = Effect.fnUntraced(function* (directory: string) {
  const { files } = yield* Checkpoint.open(directory)
  return yield* Effect.forEach(Object.entries(files), ([path, at]) =>
    Effect.tryPromise({
      try: async () => ({ path, at, size: (await stat(at)).size }),
      catch: (cause) => new CheckpointError({ path: at, ...fileFailure(cause) }),
    }),
  )
})

const statusOf = (cause: unknown): unknown =>
  typeof cause === "object" && cause !== null && "statusCode" in cause ? cause.statusCode : undefined

/** What exists already need not be made. */
const existing = (made: Promise<unknown>): Promise<unknown> =>
  made.catch((cause: Error) => (statusOf(cause) === 409 ? undefined : Promise.reject(cause)))

/** Refusals to write, in the words of one who pushes. */
const refusal = (source: string, settings: Settings, cause: unknown): HubError => {
  const status = statusOf(cause)
  if (status !== 401 && status !== 403) return Api.failure(source, settings, cause)
  const problem =
    status === 401
      ? "access denied (401): the token of HF_TOKEN or of the login is not valid; make a new one"
      : "access denied (403): the token of HF_TOKEN or of the login may not write there; make one that may, or check the name"
  return new HubError({ source, problem, blame: "input" })
}
