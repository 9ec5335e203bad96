/**
 * Verification: every blob hashed again, whatever it looks like.
 *
 * Runs trust a blob that nobody has written to since it was published; a disk that forgets is found only here. A
 * damaged blob is set aside, so that what needs it is computed again.
 */
import * as Effect from "effect/Effect"
import type { Action } from "./Action.ts"
import type { StoreError } from "./CoreError.ts"
import { type Blob, Store } from "./Store.ts"

export interface Report {
  readonly blobs: number
  readonly bytes: number
  /** Blobs whose bytes are not those of their name, with the records that need them. */
  readonly damaged: ReadonlyArray<{ readonly blob: Blob; readonly actions: ReadonlyArray<Action> }>
  /** Records whose content is not all there. */
  readonly incomplete: ReadonlyArray<Action>
}

/** Hashes every blob; sets the damaged ones aside. `progress` is told blobs done and bytes hashed. */
export const all = Effect.fn("Verify.all")(function* (
  progress: (done: number, total: number) => Effect.Effect<void> = () => Effect.void,
): Effect.fn.Return<Report, StoreError, Store> {
  const store = yield* Store
  const blobs = yield* store.blobs
  const actions = yield* store.actions
  const damaged: Array<Blob> = []
  for (const [index, blob] of blobs.entries()) {
    if ((yield* store.rehash(blob.digest)) !== blob.digest) damaged.push(blob)
    yield* progress(index + 1, blobs.length)
  }
  const needs = new Map<Action, ReadonlySet<string>>()
  for (const action of actions) {
    const entries = action.kind === "directory" ? yield* store.manifest(action.digest) : []
    needs.set(action, new Set([action.digest, ...entries.map(({ digest }) => digest)]))
  }
  for (const { digest } of damaged) yield* store.quarantine(digest)
  const incomplete: Array<Action> = []
  for (const action of actions)
    if ((yield* store.condition(action.kind, action.digest)) !== "whole") incomplete.push(action)
  return {
    blobs: blobs.length,
    bytes: blobs.reduce((sum, { size }) => sum + size, 0),
    damaged: damaged.map((blob) => ({
      blob,
      actions: actions.filter((action) => needs.get(action)?.has(blob.digest) === true),
    })),
    incomplete,
  }
})
