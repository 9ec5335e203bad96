/**
 * Small texts by path: records, references, logs. On disk, or in memory for a store that leaves nothing behind.
 */
import * as Effect from "effect/Effect"
import { dirname } from "node:path"
import type { StoreError } from "../CoreError.ts"
import { at, entryOr } from "../Lookup.ts"
import { storeSync, storeTry } from "./files.ts"
import type { Layout } from "./layout.ts"
import { writeAtomic } from "./publication.ts"
import * as scratch from "./scratch.ts"

export interface Texts {
  readonly read: (path: string) => Effect.Effect<string | undefined, StoreError>
  /** Replaces a text as a whole. */
  readonly write: (path: string, text: string) => Effect.Effect<void, StoreError>
  readonly append: (path: string, text: string) => Effect.Effect<void, StoreError>
  /** The names below a directory, files and directories; none if it does not exist. */
  readonly list: (directory: string) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** Removes a text, or all below a directory. */
  readonly remove: (path: string) => Effect.Effect<void, StoreError>
}

/** Texts as files. */
export const onDisk = (layout: Layout): Texts => ({
  read: (path) => storeSync("read", path, (disk) => disk.text(path)),
  write: (path, text) =>
    storeTry("write", path, (disk) => writeAtomic(disk, path, text, scratch.name(layout, disk))),
  append: (path, text) =>
    storeTry("write", path, async (disk) => {
      await disk.makeDirectory(dirname(path))
      await disk.append(path, text)
    }),
  list: (path) => storeSync("read", path, (disk) => disk.entries(path).map(({ name }) => name)),
  remove: (path) =>
    Effect.flatMap(
      storeSync("read", path, (disk) => disk.stat(path)),
      (there) => (there === undefined ? Effect.void : storeTry("remove", path, (disk) => disk.remove(path))),
    ),
})

/** Texts that go with the process. */
export const inMemory = (): Texts => {
  const texts = new Map<string, string>()
  const below = (directory: string) => [...texts.keys()].filter((path) => path.startsWith(`${directory}/`))
  return {
    read: (path) => Effect.sync(() => texts.get(path)),
    write: (path, text) => Effect.sync(() => void texts.set(path, text)),
    append: (path, text) => Effect.sync(() => void texts.set(path, entryOr(texts, path, "") + text)),
    list: (directory) =>
      Effect.sync(() => [
        ...new Set(below(directory).map((path) => at(path.slice(directory.length + 1).split("/"), 0))),
      ]),
    remove: (path) =>
      Effect.sync(() => {
        for (const each of [path, ...below(path)]) texts.delete(each)
      }),
  }
}
