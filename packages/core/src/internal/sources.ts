/**
 * The user's files by content, with a cache of digests so that an unchanged file is never hashed twice.
 *
 * A cached digest holds while device, inode, size and both times are the same. A file changed within the clock's
 * grain of being hashed could change again without a trace, so its digest is not kept.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { join } from "node:path"
import * as Canonical from "../Canonical.ts"
import * as Content from "../Content.ts"
import { SourceError } from "../CoreError.ts"
import { Disk } from "../Disk.ts"
import { filesBelow } from "./files.ts"
import * as Imports from "./imports.ts"
import type { Layout } from "./layout.ts"
import { writeAtomic } from "./publication.ts"
import * as scratch from "./scratch.ts"
import { describe } from "./systemError.ts"

const Known = Schema.Struct({
  stamp: Schema.String,
  digest: Schema.String,
  /** What a module imports, as it is written there. */
  imports: Schema.optionalKey(Schema.Array(Schema.String)),
})
type Known = typeof Known.Type
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Known)))

/** A file system may stamp times no finer than this. */
const grainMilliseconds = 2000
/** Digests are saved while others are made: a run that is killed does not hash again what took long. */
const saveMilliseconds = 1000

const trySource = <A>(path: string, call: (disk: Disk) => A | Promise<A>) =>
  Effect.flatMap(Disk, (disk) =>
    Effect.tryPromise({
      try: async () => call(disk),
      catch: (cause) => new SourceError({ path, problem: describe(cause) }),
    }),
  )

export const make = (layout: Layout) => {
  let cache: Record<string, Known> | undefined
  let isDirty = false
  let saved = performance.now()
  const gate = Semaphore.makeUnsafe(1)

  const known = (disk: Disk): Record<string, Known> => {
    if (cache === undefined) {
      const read = decode(disk.text(layout.stat) ?? "{}")
      cache = read._tag === "Some" ? { ...read.value } : {}
    }
    return cache
  }

  /** Writes the cache. It lies in the store, so it is only written where a store already is. */
  const write = async (disk: Disk): Promise<void> => {
    if (!isDirty || disk.stat(layout.root) === undefined) return
    isDirty = false
    saved = performance.now()
    await writeAtomic(disk, layout.stat, Canonical.stringify(cache), scratch.name(layout, disk))
  }

  /** What is not saved is only made again, so that a store that cannot be written is no obstacle to a plan. */
  const save = Effect.flatMap(Disk, (disk) => Effect.promise(() => write(disk).catch(() => undefined)))

  const keep = (disk: Disk, path: string, changed: number, entry: Known): void => {
    if (Date.now() - changed <= grainMilliseconds) return
    known(disk)[path] = entry
    isDirty = true
  }

  const file = async (disk: Disk, path: string): Promise<Content.FileContent> => {
    const info = disk.stat(path)
    if (info === undefined) throw Object.assign(new Error(path), { code: "ENOENT" })
    if (info.kind !== "file") throw new Error("expected a file")
    const { changed, size, stamp } = info
    const before = known(disk)[path]
    if (before?.stamp === stamp) return { _tag: "File", path, size, digest: before.digest }
    const digest = await disk.hash(path)
    keep(disk, path, changed, { stamp, digest })
    if (performance.now() - saved > saveMilliseconds) await write(disk).catch(() => undefined)
    return { _tag: "File", path, size, digest }
  }

  const directory = async (disk: Disk, path: string): Promise<Content.DirectoryContent> => {
    const kind = disk.stat(path)?.kind
    if (kind === undefined) throw Object.assign(new Error(path), { code: "ENOENT" })
    if (kind !== "directory") throw new Error("expected a directory")
    const files: Record<string, Content.FileContent> = {}
    for (const name of filesBelow(disk, path)) files[name] = await file(disk, join(path, name))
    const content = Content.directory(files)
    // For lineage only: a directory's digest is always made of those of its files.
    const entry = `${path}/`
    if (known(disk)[entry]?.digest !== content.digest) {
      known(disk)[entry] = { stamp: "directory", digest: content.digest }
      isDirty = true
    }
    return content
  }

  /** A module's digest and what it imports; both from the cache while the file is unchanged. */
  const module = (disk: Disk, path: string): Known | undefined => {
    const info = disk.stat(path)
    if (info?.kind !== "file") return undefined
    const before = known(disk)[path]
    if (before?.stamp === info.stamp && before.imports !== undefined) return before
    const text = disk.text(path)
    if (text === undefined) return undefined
    const entry = { stamp: info.stamp, ...Imports.read(text) }
    keep(disk, path, info.changed, entry)
    return entry
  }

  return {
    sourceFile: (path: string) => gate.withPermits(1)(trySource(path, (disk) => file(disk, path))),
    sourceDirectory: (path: string) => gate.withPermits(1)(trySource(path, (disk) => directory(disk, path))),
    sourceModule: (path: string) => Effect.map(Disk, (disk) => module(disk, path)),
    /** Where files of a digest were last seen. */
    sourcePaths: (digest: string) =>
      Effect.map(Disk, (disk) =>
        Object.entries(known(disk))
          .filter(([, entry]) => entry.digest === digest)
          .map(([path]) => path),
      ),
    save: gate.withPermits(1)(save),
  }
}
