/** Temporary names: `tmp/<owner>`, so that what a killed process left can be told from what is in use. */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Disk } from "../Disk.ts"
import { persist, storeTry } from "./files.ts"
import type { Layout } from "./layout.ts"
import * as Owner from "./owner.ts"

/** A new name below `tmp`; nothing is created. */
export const name = (layout: Layout, disk: Disk): string => join(layout.tmp, Owner.create(disk.pid))

/** A new private directory, removed when the scope closes. */
export const directory = (layout: Layout) =>
  Effect.acquireRelease(
    storeTry("create", layout.tmp, async (disk) => {
      const path = name(layout, disk)
      await disk.makeDirectory(path)
      return path
    }),
    (path) => Effect.ignore(storeTry("remove", path, (disk) => persist(() => disk.remove(path)))),
  )

/** A private directory beside no store, for what is compared with one that may only be read from. */
export const elsewhere = Effect.acquireRelease(
  storeTry("create", tmpdir(), async (disk) => {
    const path = join(tmpdir(), `hila-${randomBytes(6).toString("hex")}`)
    await disk.makeDirectory(path)
    return path
  }),
  (path) => Effect.ignore(storeTry("remove", path, (disk) => persist(() => disk.remove(path)))),
)

/** Removes the temporary files of processes that are gone. */
export const sweep = (layout: Layout) =>
  storeTry("clean", layout.tmp, async (disk) => {
    for (const entry of disk.entries(layout.tmp)) {
      if (Owner.condition(entry.name) === "dead") await disk.remove(join(layout.tmp, entry.name))
    }
  })
