/**
 * The user's files by content, with a cache of digests so that an unchanged file is never hashed twice.
 *
 * A cached digest holds while device, inode, size and both times are the same. A file changed within the clock's
 * grain of being hashed could change again without a trace, so its digest is not kept.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import * as Canonical from "../Canonical.ts"
import * as Content from "../Content.ts"
import { SourceError, StoreError } from "../CoreError.ts"
import * as Digest from "../Digest.ts"
import { describe } from "./files.ts"
import type { Layout } from "./layout.ts"
import { filesBelow, writeAtomic } from "./publication.ts"
import * as scratch from "./scratch.ts"

const StatCache = Schema.Record(Schema.String, Schema.Struct({ stamp: Schema.String, digest: Schema.String }))
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(StatCache))

/** A file system may stamp times no finer than this. */
const grainMilliseconds = 2000

const trySource = <A>(path: string, call: () => Promise<A>) =>
  Effect.tryPromise({ try: call, catch: (cause) => new SourceError({ path, problem: describe(cause) }) })

export const make = (layout: Layout) => {
  let cache: Record<string, { readonly stamp: string; readonly digest: string }> | undefined
  const gate = Semaphore.makeUnsafe(1)

  const load = Effect.promise(async () => {
    const text = await readFile(layout.stat, "utf8").catch(() => "{}")
    const known = decode(text)
    return known._tag === "Some" ? { ...known.value } : {}
  })

  const file = Effect.fnUntraced(function* (path: string) {
    const info = yield* trySource(path, () => stat(path, { bigint: true }))
    if (!info.isFile()) return yield* new SourceError({ path, problem: "expected a file" })
    const stamp = [info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs].join(" ")
    cache ??= yield* load
    const known = cache[path]
    const size = Number(info.size)
    if (known?.stamp === stamp)
      return { content: { _tag: "File" as const, path, size, digest: known.digest }, fresh: false }
    const digest = yield* Effect.mapError(
      Digest.ofFile(path),
      ({ problem }) => new SourceError({ path, problem }),
    )
    const settled = Date.now() - Number(info.ctimeMs) > grainMilliseconds
    if (settled) cache[path] = { stamp, digest }
    return { content: { _tag: "File" as const, path, size, digest }, fresh: settled }
  })

  const save = storeSave(layout, () => cache ?? {})

  const sourceFile = (path: string): Effect.Effect<Content.FileContent, SourceError | StoreError> =>
    gate.withPermits(1)(
      Effect.flatMap(file(path), ({ content, fresh }) => Effect.as(fresh ? save : Effect.void, content)),
    )

  const sourceDirectory = (path: string): Effect.Effect<Content.DirectoryContent, SourceError | StoreError> =>
    gate.withPermits(1)(
      Effect.gen(function* () {
        const names = yield* trySource(path, () => filesBelow(path))
        const entries = yield* Effect.forEach(names, (name) =>
          Effect.map(file(join(path, name)), (found) => ({ name, ...found })),
        )
        if (entries.some(({ fresh }) => fresh)) yield* save
        return Content.directory(Object.fromEntries(entries.map(({ content, name }) => [name, content])))
      }),
    )

  return { sourceFile, sourceDirectory }
}

/** Writes the cache. It lies in the store, so it is only written where a store already is. */
const storeSave = (layout: Layout, cache: () => object) =>
  Effect.tryPromise({
    try: async () => {
      const exists = await stat(layout.root).then(
        () => true,
        () => false,
      )
      if (exists) await writeAtomic(layout.stat, Canonical.stringify(cache()), scratch.name(layout))
    },
    catch: (cause) => new StoreError({ operation: "write", path: layout.stat, problem: describe(cause) }),
  })
