/**
 * Claims: how processes that share a store agree who computes a key.
 *
 * A claim on a name is a file of one's own below `locks/<name>/`: announce it, then look whether anyone else alive is
 * there, and withdraw if so. Of two that announce at the same time at least one sees the other, so never do both hold
 * the name. Files of the dead are removed by whoever sees them; their names are never used again, so that removing
 * one twice harms nobody. There is no lock to break and none that a crash leaves behind.
 */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { Disk } from "../Disk.ts"
import { persist, storeTry } from "./files.ts"
import type { Layout } from "./layout.ts"
import * as Owner from "./owner.ts"
import { codeOf } from "./systemError.ts"

/** How often an owner shows that it is there, and how long one on another host may be silent. Milliseconds. */
const heartbeat = 5000
const patience = 60_000

/** When this process last saw each foreign owner's heartbeat move, by its own clock: clocks of hosts differ. */
const observed = new Map<string, { readonly written: number; readonly since: number }>()

const isSilent = (disk: Disk, path: string): boolean => {
  const written = disk.stat(path)?.written
  if (written === undefined) return true
  const last = observed.get(path)
  if (last?.written !== written) {
    observed.set(path, { written, since: performance.now() })
    return false
  }
  return performance.now() - last.since > patience
}

/** The living owners below a directory; files of the dead are removed. */
export const living = async (disk: Disk, directory: string): Promise<ReadonlyArray<string>> => {
  const alive: Array<string> = []
  for (const { name } of disk.entries(directory)) {
    const path = join(directory, name)
    const condition = Owner.condition(name)
    if (condition === "dead" || (condition === "elsewhere" && isSilent(disk, path))) await disk.remove(path)
    else alive.push(name)
  }
  return alive
}

/** Creates a file in a directory that another process may be removing because it was empty. */
const createIn = async (disk: Disk, directory: string, name: string): Promise<void> => {
  for (let attempt = 0; ; attempt++) {
    try {
      await disk.makeDirectory(directory)
      return await disk.write(join(directory, name), "")
    } catch (cause) {
      if (codeOf(cause) !== "ENOENT" || attempt === 100) throw cause
    }
  }
}

/** Takes away a file of one's own, and its directory if nobody else is there. */
const withdraw = async (disk: Disk, directory: string, name: string): Promise<void> => {
  await persist(() => disk.remove(join(directory, name)))
  await disk.removeEmpty(directory).catch(() => undefined)
}

/** Announces an owner below `locks/<name>` until the scope closes. */
const announce = (layout: Layout, name: string) => {
  const directory = layout.lock(name)
  return Effect.acquireRelease(
    storeTry("lock", directory, async (disk) => {
      const own = Owner.create(disk.pid)
      await createIn(disk, directory, own)
      const path = join(directory, own)
      const timer = setInterval(() => {
        disk.touch(path, Date.now() / 1000).catch(() => undefined)
      }, heartbeat).unref()
      return { own, timer }
    }),
    ({ own, timer }) => {
      clearInterval(timer)
      return Effect.ignore(storeTry("unlock", directory, (disk) => withdraw(disk, directory, own)))
    },
  )
}

/** Whether a claim holds; if not, who is there, for people. */
export type Claim = { readonly held: true } | { readonly held: false; readonly owner: string }

/** Claims a name until the scope closes, if nobody alive has it. */
export const claim = (layout: Layout, name: string) => {
  const directory = layout.lock(name)
  return Effect.gen(function* () {
    const before = yield* storeTry("lock", directory, (disk) => living(disk, directory))
    if (before[0] !== undefined) return { held: false, owner: Owner.describe(before[0]) } satisfies Claim
    const { own } = yield* announce(layout, name)
    const others = yield* storeTry("lock", directory, (disk) => living(disk, directory))
    const other = others.find((each) => each !== own)
    if (other === undefined) return { held: true } satisfies Claim
    yield* storeTry("unlock", directory, (disk) => withdraw(disk, directory, own))
    return { held: false, owner: Owner.describe(other) } satisfies Claim
  })
}

/** Announces one side of two that exclude each other, unless somebody of the other side is there. */
const announceUnless = (layout: Layout, side: string, other: string) =>
  Effect.gen(function* () {
    const { own } = yield* announce(layout, side)
    const directory = layout.lock(other)
    const [present] = yield* storeTry("lock", directory, (disk) => living(disk, directory))
    if (present === undefined) return { held: true } satisfies Claim
    yield* storeTry("unlock", directory, (disk) => withdraw(disk, layout.lock(side), own))
    return { held: false, owner: Owner.describe(present) } satisfies Claim
  })

/** Announces a run, unless a collection is in progress. */
export const enter = (layout: Layout) => announceUnless(layout, "users", "gc")

/** Announces a collection, unless runs are in progress. */
export const close = (layout: Layout) => announceUnless(layout, "gc", "users")

/** Removes the claims of the dead; a killed run leaves them, and nobody may ask for their names again. */
export const sweep = (layout: Layout) =>
  storeTry("clean", layout.locks, async (disk) => {
    for (const { name } of disk.entries(layout.locks)) {
      const directory = join(layout.locks, name)
      if ((await living(disk, directory)).length === 0)
        await disk.removeEmpty(directory).catch(() => undefined)
    }
  })
