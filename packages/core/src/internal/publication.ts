/**
 * Atomic publication: a file becomes a blob under the name of its digest, or nothing happens.
 *
 * Hash, fsync, make read-only, `link(2)` to the digest's name (a racer that comes second finds it there), unlink the
 * temporary name. A blob never shares its inode with a file outside the store, or a write there would change it.
 */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import { chmod, copyFile, link, mkdir, open, readdir, rename, rm, stat, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as Content from "../Content.ts"
import type { StoreError } from "../CoreError.ts"
import * as Digest from "../Digest.ts"
import { codeOf, storeTry } from "./files.ts"
import type { Layout } from "./layout.ts"

const sync = async (path: string): Promise<void> => {
  const handle = await open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Relative POSIX names of the files below a directory, sorted. Links are followed; sockets and the like are refused. */
export const filesBelow = async (directory: string, prefix = ""): Promise<ReadonlyArray<string>> => {
  const names: Array<string> = []
  for (const entry of await readdir(join(directory, prefix), { withFileTypes: true })) {
    const name = prefix === "" ? entry.name : `${prefix}/${entry.name}`
    const target = entry.isSymbolicLink() ? await stat(join(directory, name)) : entry
    if (target.isDirectory()) names.push(...(await filesBelow(directory, name)))
    else if (target.isFile()) names.push(name)
    else throw new Error(`${name} is neither a file nor a directory`)
  }
  return names.toSorted()
}

/** The inodes of a private directory: files there may be adopted although they have two names. */
const inodesBelow = async (directory: string | undefined): Promise<ReadonlySet<number>> => {
  if (directory === undefined) return new Set()
  const names = await filesBelow(directory)
  return new Set(await Promise.all(names.map(async (name) => (await stat(join(directory, name))).ino)))
}

const publishFile = (
  layout: Layout,
  path: string,
  own: ReadonlySet<number>,
): Effect.Effect<Content.FileContent, StoreError> =>
  Effect.gen(function* () {
    const digest = yield* Digest.ofFile(path)
    const blob = layout.blob(digest)
    return yield* storeTry("publish", blob, async () => {
      const { ino, nlink, size } = await stat(path)
      const there = await stat(blob).catch(() => undefined)
      if (there?.size !== size) {
        // A name elsewhere could be written to: such a file is copied, a private one is taken as it is.
        const ours = nlink === 1 || (nlink === 2 && own.has(ino))
        const staged = ours ? path : `${path}.copy`
        if (!ours) await copyFile(path, staged, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
        await chmod(staged, 0o444)
        await sync(staged)
        await mkdir(dirname(blob), { recursive: true })
        // A blob of another size is what a broken disk or a full one left: it is replaced.
        if (there !== undefined) await rename(staged, blob)
        else await link(staged, blob).catch(ignoreExisting)
        await sync(dirname(blob))
        if (!ours) await rm(staged, { force: true })
      }
      await rm(path, { force: true })
      return { _tag: "File" as const, path: blob, size, digest }
    })
  })

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
    const own = yield* storeTry("read", scratch ?? path, () => inodesBelow(scratch))
    const isFile = yield* storeTry("read", path, async () => (await stat(path)).isFile())
    if (isFile) return yield* publishFile(layout, path, own)
    const names = yield* storeTry("read", path, () => filesBelow(path))
    const entries = yield* Effect.forEach(names, (name) =>
      Effect.map(publishFile(layout, join(path, name), own), (content) => [name, content] as const),
    )
    const content = Content.directory(Object.fromEntries(entries))
    const manifest = join(path, ".manifest")
    yield* storeTry("write", manifest, () =>
      writeFile(manifest, Content.manifest(content.files), { flag: "wx" }),
    )
    yield* publishFile(layout, manifest, own)
    yield* storeTry("remove", path, () => rm(path, { recursive: true, force: true }))
    return content
  })

/** Replaces a small file as a whole: a reader sees the old text or the new one. */
export const writeAtomic = async (path: string, text: string, temporary: string): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  await mkdir(dirname(temporary), { recursive: true })
  await writeFile(temporary, text, { flag: "wx" })
  await sync(temporary)
  await rename(temporary, path)
}
