/**
 * Where things lie in a store.
 *
 * ```
 * format                      the version of this layout
 * cas/ab/<sha256>             immutable blobs, mode 0444, last written in 1970; a directory is a manifest blob
 * actions/<stage>/<key>.json  records, written last
 * parts/<key>/<id>.json       finished elements of an unfinished stage
 * refs/<pipeline>/<output>    the record an output pointed to last
 * runs/<run>.jsonl            events
 * stat.json                   size, times and digest of the user's files
 * locks/<key>/<owner>         who computes a key now
 * locks/users/<owner>         runs in progress; locks/gc/<owner>: a collection in progress
 * tmp/<owner>                 scratch; removed by a later process once its owner is gone
 * quarantine/<sha256>         blobs whose bytes were not those of their name
 * ```
 */
import { join } from "node:path"
import * as Digest from "../Digest.ts"

/** The version of this layout. A store of a later one is refused, never guessed at. */
export const format = 1

export interface Layout {
  readonly root: string
  readonly format: string
  readonly cas: string
  readonly blob: (digest: string) => string
  readonly allActions: string
  readonly actions: (stage: string) => string
  readonly action: (stage: string, key: string) => string
  readonly allParts: string
  readonly parts: (key: string) => string
  readonly part: (key: string, id: string) => string
  readonly refs: string
  readonly ref: (pipeline: string, output: string) => string
  readonly runs: string
  readonly run: (run: string) => string
  readonly stat: string
  readonly locks: string
  readonly lock: (name: string) => string
  readonly tmp: string
  readonly quarantine: (digest: string) => string
}

/** Names come from users; as file names they must not climb out of their directory. */
const fileName = (name: string): string =>
  encodeURIComponent(name).replaceAll(/^\.+/g, (dots) => "%2E".repeat(dots.length))

/** The name a file name was made from. */
export const nameOf = (file: string): string => decodeURIComponent(file)

export const layout = (root: string): Layout => ({
  root,
  format: join(root, "format"),
  cas: join(root, "cas"),
  blob: (digest) => join(root, "cas", digest.slice(0, 2), digest),
  allActions: join(root, "actions"),
  actions: (stage) => join(root, "actions", fileName(stage)),
  action: (stage, key) => join(root, "actions", fileName(stage), `${key}.json`),
  allParts: join(root, "parts"),
  parts: (key) => join(root, "parts", key),
  part: (key, id) => join(root, "parts", key, `${Digest.of(id)}.json`),
  refs: join(root, "refs"),
  ref: (pipeline, output) => join(root, "refs", fileName(pipeline), fileName(output)),
  runs: join(root, "runs"),
  run: (run) => join(root, "runs", `${fileName(run)}.jsonl`),
  stat: join(root, "stat.json"),
  locks: join(root, "locks"),
  lock: (name) => join(root, "locks", name),
  tmp: join(root, "tmp"),
  quarantine: (digest) => join(root, "quarantine", digest),
})
