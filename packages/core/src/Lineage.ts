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
  const byDigest = new Map(actions.toReversed().map((action) => [action.digest, action]))
  const directories = new Map<string, ReadonlyArray<Action>>()
  for (const action of actions) {
    if (action.kind !== "directory") continue
    for (const digest of yield* store.manifest(action.digest))
      directories.set(digest, [...(directories.get(digest) ?? []), action])
  }

  const trace = (digest: string): Effect.Effect<Origin> =>
    Effect.gen(function* () {
      const action = byDigest.get(digest) ?? directories.get(digest)?.[0]
      if (action === undefined) return { digest, action, paths: yield* store.sourcePaths(digest), inputs: [] }
      const inputs = Object.entries(action.ingredients.inputs).flatMap(([slot, given]) =>
        [given].flat().map((each) => ({ slot, digest: each })),
      )
      return {
        digest,
        action,
        paths: [],
        inputs: yield* Effect.forEach(inputs, (input) =>
          Effect.map(trace(input.digest), (origin) => ({ slot: input.slot, origin })),
        ),
      }
    })

  const known = [...byDigest.keys(), ...directories.keys()]
  const found = known.includes(start) ? start : known.find((digest) => digest.startsWith(start))
  if (found !== undefined) return yield* trace(found)
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
    if (seen.has(each.digest) && each.inputs.length > 0) return [`${own} (see above)`]
    seen.add(each.digest)
    return [own, ...each.inputs.flatMap((input) => lines(input.origin, input.slot, depth + 1))]
  }
  return lines(origin, "", 0).join("\n")
}
