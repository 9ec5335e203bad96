/**
 * Temporary names: `tmp/<pid>-<random>`, so that what a killed process left can be told from what is in use.
 */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { codeOf, storeTry } from "./files.ts"
import type { Layout } from "./layout.ts"

/** A new name below `tmp`; nothing is created. */
export const name = (layout: Layout): string =>
  join(layout.tmp, `${process.pid}-${randomBytes(6).toString("hex")}`)

/** A new private directory, removed when the scope closes. */
export const directory = (layout: Layout) =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const path = name(layout)
      return storeTry("create", path, async () => {
        await mkdir(path, { recursive: true })
        return path
      })
    }),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
  )

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/** Removes the temporary files of processes that are gone. */
export const sweep = (layout: Layout) =>
  storeTry("clean", layout.tmp, async () => {
    const names = await readdir(layout.tmp).catch(() => [])
    const dead = names.filter((entry) => !isAlive(Number.parseInt(entry, 10)))
    await Promise.all(dead.map((entry) => rm(join(layout.tmp, entry), { recursive: true, force: true })))
  })
