/**
 * Garbage: what no output, no recent run and no unfinished stage needs any more.
 *
 * Roots are the references of pipelines' outputs, everything the last runs hit or published, and the elements of
 * unfinished stages; the records that made the inputs of a kept record are kept with it, or its key could not be known
 * without computing them again. Finding garbage changes nothing. Removing it excludes runs, and takes records before
 * their content.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Action } from "./Action.ts"
import { StoreError } from "./CoreError.ts"
import { entryOr } from "./Lookup.ts"
import * as RunLog from "./RunLog.ts"
import { type Blob, Store } from "./Store.ts"

export interface Options {
  /** How many of the last runs keep what they used; 10 by default. */
  readonly runs?: number
  /** Milliseconds for which anything published is left alone; one hour by default. */
  readonly grace?: number
}

/** What can go. */
export interface Garbage {
  readonly actions: ReadonlyArray<Action>
  readonly blobs: ReadonlyArray<Blob>
  /** Keys of finished stages whose elements a killed process left. */
  readonly parts: ReadonlyArray<string>
  /** Bytes of the blobs, and seconds it took to compute the records. */
  readonly bytes: number
  readonly seconds: number
}

/** Records to keep: those of the root keys, and those that made their inputs. */
const reachable = (actions: ReadonlyArray<Action>, roots: ReadonlySet<string>): ReadonlySet<Action> => {
  const byDigest = Map.groupBy(actions, ({ digest }) => digest)
  const kept = new Set<Action>()
  const open = actions.filter(({ key }) => roots.has(key))
  for (let action = open.pop(); action !== undefined; action = open.pop()) {
    if (kept.has(action)) continue
    kept.add(action)
    for (const digest of Object.values(action.ingredients.inputs).flat())
      open.push(...entryOr(byDigest, digest, []))
  }
  return kept
}

/** What can go now. */
export const find = Effect.fn("Gc.find")(function* (
  options: Options = {},
): Effect.fn.Return<Garbage, StoreError, Store> {
  const store = yield* Store
  const { grace = 3_600_000, runs: last = 10 } = options
  const now = yield* Clock.currentTimeMillis
  const actions = yield* store.actions
  const roots = new Set((yield* store.refs).map(({ key }) => key))
  const runs = yield* store.runs
  for (const run of last === 0 ? [] : runs.slice(-last)) {
    for (const { key } of (yield* RunLog.read(run)).nodes) roots.add(key)
  }
  const kept = reachable(actions, roots)
  const finished = new Set(actions.map(({ key }) => key))
  const parts = yield* store.parts

  const live = new Set<string>()
  const mark = Effect.fnUntraced(function* (kind: "file" | "directory", digest: string) {
    live.add(digest)
    if (kind === "file") return
    for (const entry of yield* store.manifest(digest)) live.add(entry.digest)
  })
  for (const { digest, ingredients, kind, look, source } of kept) {
    yield* mark(kind, digest)
    for (const beside of [source, look]) if (beside !== undefined) live.add(beside)
    // Values written in the pipeline: they would be written again by the next run.
    for (const input of Object.values(ingredients.inputs).flat()) live.add(input)
  }
  for (const { key, parts: elements } of parts)
    if (!finished.has(key)) for (const { digest, kind } of elements) yield* mark(kind, digest)

  const isOld = (milliseconds: number) => now - milliseconds >= grace
  const goes = actions.filter((action) => !kept.has(action) && isOld(Date.parse(action.started)))
  // A record that stays for its age keeps its content.
  for (const action of actions)
    if (!kept.has(action) && !goes.includes(action)) yield* mark(action.kind, action.digest)
  const blobs = (yield* store.blobs).filter(({ changed, digest }) => !live.has(digest) && isOld(changed))
  return {
    actions: goes,
    blobs,
    parts: parts.flatMap(({ key }) => (finished.has(key) ? [key] : [])),
    bytes: blobs.reduce((sum, { size }) => sum + size, 0),
    seconds: goes.reduce((sum, { seconds }) => sum + seconds, 0),
  }
})

/** Finds garbage and removes it; fails while a run uses the store. */
export const collect = (options: Options = {}): Effect.Effect<Garbage, StoreError, Store> =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Store
      const claim = yield* store.close
      if (!claim.held) {
        const problem = `${claim.owner} is using it: collect again when it has finished`
        return yield* new StoreError({ operation: "collect", path: "garbage", problem })
      }
      const garbage = yield* find(options)
      yield* Effect.forEach(garbage.actions, store.removeAction, { discard: true })
      yield* Effect.forEach(garbage.parts, store.dropParts, { discard: true })
      yield* Effect.forEach(garbage.blobs, ({ digest }) => store.removeBlob(digest), { discard: true })
      return garbage
    }),
  )
