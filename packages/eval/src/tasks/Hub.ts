/**
 * Data sets of the Hugging Face Hub, read as parquet by range requests: only the rows that are asked for travel.
 *
 * The Hub converts every public data set to parquet; files are listed by its API. Where the Hub is and who asks are the
 * settings of `@hila/model`'s Hub. Single files of data sets are its business altogether (`HubFile`).
 */
import { Hub } from "@hila/model"
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as ParquetRows from "./ParquetRows.ts"
import type { Row } from "./Template.ts"

/** Which rows: a configuration and a split of a data set, from the first to `end`. */
export interface Selection {
  readonly path: string
  readonly name?: string
  readonly split: string
  readonly end?: number
}

const messageOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? `${cause.message} (${cause.cause.message})` : cause.message
}

/** Rows of a split, in order. `file` and `key` stand for the task in errors. */
export const read = Effect.fn("Hub.read")(function* (
  { end = Number.POSITIVE_INFINITY, name, path, split }: Selection,
  file: string,
): Effect.fn.Return<ReadonlyArray<Row>, TaskError> {
  const settings = yield* Hub.Settings
  const { endpoint, offline, token } = settings
  /** The token is for the Hub alone, wherever it says that its files are. */
  const initFor = (url: string) =>
    token === undefined || !URL.canParse(url) || new URL(url).origin !== new URL(endpoint).origin
      ? {}
      : { headers: { Authorization: `Bearer ${token}` } }
  const fail = (problem: string) =>
    new TaskError({ file, key: "dataset_path", problem: `${path}: ${problem}` })
  const attempt = <A>(what: string, call: () => Promise<A>) =>
    Effect.tryPromise({ try: call, catch: (cause) => fail(`${what}: ${messageOf(cause)}`) })
  if (offline)
    return yield* fail("HF_HUB_OFFLINE is set; unset it, or give local data by --data, see `hila tasks show`")
  const problem = Hub.unusable(settings)
  if (problem !== undefined) return yield* fail(problem)
  const address = `${endpoint}/api/datasets/${path}/parquet/${name ?? "default"}/${split}`
  const answer = yield* attempt(`cannot reach ${endpoint}`, () => fetch(address, initFor(address)))
  if (!answer.ok) {
    return yield* fail(
      `the Hub has no split ${split} of ${name ?? "default"} (status ${answer.status}); ` +
        "for local data give --data and see `hila tasks show`",
    )
  }
  const listed: unknown = yield* attempt("unexpected answer", () => answer.json())
  const urls = Array.isArray(listed) ? listed.filter((url) => typeof url === "string") : []
  const { asyncBufferFromUrl } = yield* Effect.promise(() => import("hyparquet"))
  const rows: Array<Row> = []
  for (const url of urls) {
    if (rows.length >= end) break
    const read = yield* attempt(`cannot read ${url}`, async () =>
      ParquetRows.read(await asyncBufferFromUrl({ url, requestInit: initFor(url) }), end - rows.length),
    )
    rows.push(...read)
  }
  return rows
})
