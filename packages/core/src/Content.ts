/**
 * Content: bytes that have a digest, as one file or as a directory of files.
 *
 * Content is only named here (paths, sizes, digests); the bytes stay where they are. A directory's digest is the
 * digest of its manifest, the sorted list of names, sizes and digests, so it does not depend on where it lies.
 */
import * as Effect from "effect/Effect"
import * as Canonical from "./Canonical.ts"
import type { StoreError } from "./CoreError.ts"
import * as Digest from "./Digest.ts"
import { storeTry } from "./internal/files.ts"
import { codeOf } from "./internal/systemError.ts"

/** One file: absolute path, size in bytes, sha256. */
export interface FileContent {
  readonly _tag: "File"
  readonly path: string
  readonly size: number
  readonly digest: string
}

/** A directory: its files by relative POSIX name, the sum of their sizes, the digest of its manifest. */
export interface DirectoryContent {
  readonly _tag: "Directory"
  readonly size: number
  readonly digest: string
  readonly files: Readonly<Record<string, FileContent>>
}

/** A file or a directory of files, by digest. */
export type Content = FileContent | DirectoryContent

/** The manifest text of a directory, whose sha256 is the directory's digest. */
export const manifest = (files: Readonly<Record<string, FileContent>>): string =>
  Canonical.stringify(
    Object.fromEntries(Object.entries(files).map(([name, { digest, size }]) => [name, { digest, size }])),
  )

/** A directory made of files whose digests are known. */
export const directory = (files: Readonly<Record<string, FileContent>>): DirectoryContent => ({
  _tag: "Directory",
  size: Object.values(files).reduce((sum, file) => sum + file.size, 0),
  digest: Digest.of(manifest(files)),
  files,
})

/** Gives a file a second name: a hard link, or a copy where links are impossible. The new name must not exist. */
export const link = (from: string, to: string): Effect.Effect<void, StoreError> =>
  storeTry("link", to, async (disk) => {
    try {
      await disk.link(from, to)
    } catch (cause) {
      if (codeOf(cause) !== "EXDEV" && codeOf(cause) !== "EPERM" && codeOf(cause) !== "EMLINK") throw cause
      await disk.copy(from, to)
    }
  })
