/**
 * Atomic publication: a file becomes a blob under the name of its digest, or nothing happens.
 *
 * Hash while the disk syncs, make read-only, `link(2)` to the digest's name (a racer that comes second finds it there),
 * unlink the temporary name. A blob never shares its inode with a file outside the store, or a write there would change
 * it. Every blob was last written at the same moment in 1970: whatever writes to one changes that time, so that a
 * look at it shows that its bytes have to be checked.
 */
import * as Effect from "effect/Effect"
import { dirname, join } from "node:path"
import * as Content from "../Content.ts"
import type { StoreError } from "../CoreError.ts"
import type { Disk } from "../Disk.ts"
import { filesBelow, persist, readOnlyCodes, storeSync, storeTry } from "./files.ts"
import type { Layout } from "./layout.ts"
import { codeOf } from "./systemError.ts"

/** When every blob was last written, in seconds since 1970. */
const epoch = 1

/** What can be wrong with a blob. */
export type Broken = "missing" | "damaged"

/** A blob's size or what is wrong with it, as far as a look tells: one that was written to has to be read. */
export const glance = (
  disk: Disk,
  layout: Layout,
  digest: string,
  size?: number,
): number | Broken | "touched" => {
  const there = disk.stat(layout.blob(digest))
  if (there === undefined) return "missing"
  if (size !== undefined && there.size !== size) return "damaged"
  return there.written === epoch * 1000 ? there.size : "touched"
}

/** A blob's size or what is wrong with it; reads the blob. */
export const inspect = async (
  disk: Disk,
  layout: Layout,
  digest: string,
  size?: number,
): Promise<number | Broken> => {
  const seen = glance(disk, layout, digest, size)
  if (seen !== "touched") return seen
  const path = layout.blob(digest)
  if ((await disk.hash(path)) !== digest) return "damaged"
  // On a file system where the time cannot be set, the blob is read again the next time.
  await disk.touch(path, epoch).catch(() => undefined)
  return disk.stat(path)?.size ?? "missing"
}

/** The inodes of a private directory: files there may be adopted although they have two names. */
const inodesBelow = (disk: Disk, directory: string | undefined): ReadonlySet<number> => {
  if (directory === undefined) return new Set()
  const inodes = filesBelow(disk, directory).map((name) => disk.stat(join(directory, name))?.inode)
  return new Set(inodes.filter((inode) => inode !== undefined))
}

const publishFile = (
  layout: Layout,
  path: string,
  own: ReadonlySet<number>,
): Effect.Effect<Content.FileContent, StoreError> =>
  storeTry("publish to", layout.root, async (disk) => {
    const info = disk.stat(path)
    if (info === undefined) throw Object.assign(new Error(`${path} is gone`), { code: "ENOENT" })
    const { inode, names, size } = info
    // A large file is written to the disk while it is hashed; a small one may prove to be there already.
    const isLarge = size > 1 << 20
    const [digest] = await Promise.all([disk.hash(path), isLarge ? disk.sync(path) : undefined])
    const blob = layout.blob(digest)
    const there = await inspect(disk, layout, digest, size)
    // Its time of change becomes now: a collection leaves alone what is in use since a moment ago.
    // One that may only be read from is never collected.
    if (typeof there === "number") await disk.touch(blob, epoch).catch(ignoreReadOnly)
    else {
      // A name elsewhere could be written to: such a file is copied, a private one is taken as it is.
      const ours = names === 1 || (names === 2 && own.has(inode))
      const staged = ours ? path : `${path}.copy`
      if (!ours) await disk.copy(path, staged)
      if (!ours || !isLarge) await disk.sync(staged)
      await disk.chmod(staged, 0o444)
      await disk.touch(staged, epoch)
      await disk.makeDirectory(dirname(blob))
      if (there === "damaged") await disk.rename(staged, blob)
      else await disk.link(staged, blob).catch(ignoreExisting)
      await disk.sync(dirname(blob))
      if (!ours) await disk.remove(staged)
    }
    await disk.remove(path)
    return { _tag: "File" as const, path: blob, size, digest }
  })

const ignoreReadOnly = (cause: unknown): void => {
  if (!readOnlyCodes.has(codeOf(cause) ?? "")) throw cause
}

const ignoreExisting = (cause: unknown): void => {
  if (codeOf(cause) !== "EEXIST") throw cause
}

/** Moves a file or a directory into the store. `scratch` is the private directory its files may be linked from. */
export const publish = (
  layout: Layout,
  path: string,
  scratch: string | undefined,
): Effect.Effect<Content.Content, StoreError> =>
  Effect.gen(function* () {
    const own = yield* storeSync("read", scratch ?? path, (disk) => inodesBelow(disk, scratch))
    const kind = yield* storeSync("read", path, (disk) => disk.stat(path)?.kind)
    if (kind !== "directory") return yield* publishFile(layout, path, own)
    const names = yield* storeSync("read", path, (disk) => filesBelow(disk, path))
    const entries = yield* Effect.forEach(names, (name) =>
      Effect.map(publishFile(layout, join(path, name), own), (content) => [name, content] as const),
    )
    const content = Content.directory(Object.fromEntries(entries))
    const manifest = join(path, ".manifest")
    yield* storeTry("write", manifest, (disk) => disk.write(manifest, Content.manifest(content.files)))
    yield* publishFile(layout, manifest, own)
    yield* storeTry("remove", path, (disk) => disk.remove(path))
    return content
  })

/** Replaces a small file as a whole: a reader sees the old text or the new one. */
export const writeAtomic = async (
  disk: Disk,
  path: string,
  text: string,
  temporary: string,
): Promise<void> => {
  await disk.makeDirectory(dirname(path))
  await disk.makeDirectory(dirname(temporary))
  try {
    await disk.write(temporary, text)
    await disk.sync(temporary)
    await disk.rename(temporary, path)
  } catch (cause) {
    await persist(() => disk.remove(temporary)).catch(() => undefined)
    throw cause
  }
}
