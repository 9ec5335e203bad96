/**
 * Where things lie in a store.
 *
 * ```
 * format                      the version of this layout
 * cas/ab/<sha256>             immutable blobs, mode 0444, last written in 1970; a directory is a manifest blob
 * actions/<stage>/<key>.json  records, written last
 * records/<stage>.json        a copy of all records of a stage, while nothing has changed there
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
import { normalize } from "node:path"
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
  readonly records: (stage: string) => string
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

const memoized = (make: (name: string) => string): ((name: string) => string) => {
  const known = new Map<string, string>()
  return (name) => {
    const before = known.get(name)
    if (before !== undefined) return before
    const made = make(name)
    known.set(name, made)
    return made
  }
}

/** The name a file name was made from; undefined where it was made from none, but by somebody else. */
export const nameOf = (file: string): string | undefined => {
  try {
    const name = decodeURIComponent(file)
    return fileName(name) === file ? name : undefined
  } catch {
    return undefined
  }
}

export const layout = (given: string): Layout => {
  // Thousands of paths are made for a plan: normalised once, then put together as texts.
  const root = normalize(given).replace(/[/\\]+$/, "")
  const actionsOf = memoized((stage) => `${root}/actions/${fileName(stage)}`)
  return {
    root,
    format: `${root}/format`,
    cas: `${root}/cas`,
    blob: (digest) => `${root}/cas/${digest.slice(0, 2)}/${digest}`,
    allActions: `${root}/actions`,
    actions: (stage) => actionsOf(stage),
    action: (stage, key) => `${actionsOf(stage)}/${key}.json`,
    records: (stage) => `${root}/records/${fileName(stage)}.json`,
    allParts: `${root}/parts`,
    parts: (key) => `${root}/parts/${key}`,
    part: (key, id) => `${root}/parts/${key}/${Digest.of(id)}.json`,
    refs: `${root}/refs`,
    ref: (pipeline, output) => `${root}/refs/${fileName(pipeline)}/${fileName(output)}`,
    runs: `${root}/runs`,
    run: (run) => `${root}/runs/${fileName(run)}.jsonl`,
    stat: `${root}/stat.json`,
    locks: `${root}/locks`,
    lock: (name) => `${root}/locks/${name}`,
    tmp: `${root}/tmp`,
    quarantine: (digest) => `${root}/quarantine/${digest}`,
  }
}
