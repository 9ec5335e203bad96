/**
 * Lineage: from a file or a digest back to everything it came from.
 *
 * Records name the digests of their inputs, so the way back needs no pipeline file: each digest was produced by the
 * stages that have it as output, or it was a source of the user's.
 */
import * as Effect from "effect/Effect"
import type { Action } from "./Action.ts"
import * as Digest from "./Digest.ts"
import type { StoreError } from "./CoreError.ts"
import { entryOr } from "./Lookup.ts"
import { Store } from "./Store.ts"

/** Where some content came from. */
export interface Origin {
  readonly digest: string
  /** The record that produced it, the latest where there are several; undefined for a source. */
  readonly action: Action | undefined
  /** Of a source: where it was last seen. */
  readonly paths: ReadonlyArray<string>
  /** The origins of the record's inputs, by slot. */
  readonly inputs: ReadonlyArray<{ readonly slot: string; readonly origin: Origin }>
}

/**
 * The origin of a digest, given in full or by its first digits; undefined if the store has never seen it.
 *
 * A file of a produced directory is found by its own digest too.
 */
export const of = Effect.fn("Lineage.of")(function* (
  start: string,
): Effect.fn.Return<Origin | undefined, StoreError, Store> {
  const store = yield* Store
  const actions = (yield* store.actions).toSorted((a, b) => (a.started < b.started ? 1 : -1))
  const byDigest = Map.groupBy(actions, ({ digest }) => digest)
  const directories = new Map<string, Array<Action>>()
  for (const action of actions) {
    if (action.kind !== "directory") continue
    for (const { digest } of yield* store.manifest(action.digest)) {
      const found = directories.get(digest)
      if (found === undefined) directories.set(digest, [action])
      else found.push(action)
    }
  }

  // Each record's content is traced once. Where a stage left its input as it was, that input has the digest of the
  // output: what is on the way down already made none of its own inputs, and what skipped such a record holds only there.
  const traced = new Map<string, Origin>()
  const above = new Set<Action>()
  const trace = Effect.fnUntraced(function* (
    digest: string,
    taker?: Action,
  ): Effect.fn.Return<{ readonly origin: Origin; readonly skipped: ReadonlySet<Action> }> {
    const makers = [...entryOr(byDigest, digest, []), ...entryOr(directories, digest, [])]
    const possible = makers.filter((maker) => !above.has(maker))
    // Rather what was there when the taker began than what made the same content again later.
    const action =
      possible.find((maker) => taker === undefined || maker.started < taker.started) ?? possible[0]
    const name = `${digest} ${action?.key}`
    const before = traced.get(name)
    if (before !== undefined) return { origin: before, skipped: new Set() }
    const skipped = new Set(makers.filter((maker) => above.has(maker)))
    const inputs: Array<Origin["inputs"][number]> = []
    if (action !== undefined) {
      above.add(action)
      for (const [slot, given] of Object.entries(action.ingredients.inputs)) {
        for (const input of [given].flat()) {
          const found = yield* trace(input, action)
          inputs.push({ slot, origin: found.origin })
          for (const each of found.skipped) skipped.add(each)
        }
      }
      above.delete(action)
      skipped.delete(action)
    }
    const paths = action === undefined ? yield* store.sourcePaths(digest) : []
    const origin: Origin = { digest, action, paths, inputs }
    if (skipped.size === 0) traced.set(name, origin)
    return { origin, skipped }
  })

  const known = [...byDigest.keys(), ...directories.keys()]
  const found = known.includes(start) ? start : known.find((digest) => digest.startsWith(start))
  if (found !== undefined) return (yield* trace(found)).origin
  const paths = yield* store.sourcePaths(start)
  return paths.length === 0 ? undefined : { digest: start, action: undefined, paths, inputs: [] }
})

const parameters = ({ ingredients: { params } }: Action): string =>
  Object.entries(params)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(" ")

const line = ({ action, digest, paths }: Origin): string => {
  if (action === undefined) {
    const [path = "a value written in the pipeline, or a source that is gone"] = paths
    return `${path} · ${Digest.short(digest)}`
  }
  const { ingredients, label, started, summary } = action
  const title = label === undefined ? ingredients.stage : `${ingredients.stage} ${label}`
  const given = parameters(action)
  const how = given === "" ? "" : ` · ${given.length > 100 ? `${given.slice(0, 97)}…` : given}`
  return `${title} v${ingredients.version} · ${Digest.short(digest)} · ${summary} · ${started.slice(0, 19)}${how}`
}

/** An origin as an indented tree; what appears again further down is only named. */
export const render = (origin: Origin): string => {
  const seen = new Set<string>()
  const lines = (each: Origin, slot: string, depth: number): ReadonlyArray<string> => {
    const own = `${"  ".repeat(depth)}${slot === "" ? "" : `${slot}: `}${line(each)}`
    const name = `${each.digest} ${each.action?.key}`
    if (seen.has(name) && each.inputs.length > 0) return [`${own} (see above)`]
    seen.add(name)
    return [own, ...each.inputs.flatMap((input) => lines(input.origin, input.slot, depth + 1))]
  }
  return lines(origin, "", 0).join("\n")
}
