/**
 * Where things lie in a store.
 *
 * ```
 * cas/ab/<sha256>             immutable blobs, mode 0444; a directory is a manifest blob
 * actions/<stage>/<key>.json  records, written last
 * parts/<key>/<id>.json       finished elements of an unfinished stage
 * refs/<pipeline>/<output>    the record an output pointed to last
 * runs/<run>.jsonl            events
 * stat.json                   size, times and digest of the user's files
 * tmp/<pid>-<random>          scratch; removed by a later process once its owner is gone
 * ```
 */
import { join } from "node:path"
import * as Digest from "../Digest.ts"

export interface Layout {
  readonly root: string
  readonly blob: (digest: string) => string
  readonly actions: (stage: string) => string
  readonly action: (stage: string, key: string) => string
  readonly parts: (key: string) => string
  readonly part: (key: string, id: string) => string
  readonly ref: (pipeline: string, output: string) => string
  readonly run: (run: string) => string
  readonly stat: string
  readonly tmp: string
}

/** Names come from users; as file names they must not climb out of their directory. */
const fileName = (name: string): string =>
  encodeURIComponent(name).replaceAll(/^\.+/g, (dots) => "%2E".repeat(dots.length))

export const layout = (root: string): Layout => ({
  root,
  blob: (digest) => join(root, "cas", digest.slice(0, 2), digest),
  actions: (stage) => join(root, "actions", fileName(stage)),
  action: (stage, key) => join(root, "actions", fileName(stage), `${key}.json`),
  parts: (key) => join(root, "parts", key),
  part: (key, id) => join(root, "parts", key, `${Digest.of(id)}.json`),
  ref: (pipeline, output) => join(root, "refs", fileName(pipeline), fileName(output)),
  run: (run) => join(root, "runs", `${fileName(run)}.jsonl`),
  stat: join(root, "stat.json"),
  tmp: join(root, "tmp"),
})
