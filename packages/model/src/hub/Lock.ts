/**
 * One download of a blob at a time, among processes too: two that append to one file would spoil it for both.
 *
 * A lock is a file with its owner's process. That of a process that is gone is taken over; of a process on another
 * machine only its age is known.
 */
import * as Effect from "effect/Effect"
import { mkdir, readFile, rm, stat } from "node:fs/promises"
import { hostname } from "node:os"
import { dirname } from "node:path"
import { codeOf, createNew } from "../internal/files.ts"

const patience = "200 millis"
/** After this long, a lock from another machine counts as left behind. */
const hour = 3_600_000

const own = () => `${process.pid}@${hostname()}`

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/** Whether the owner of a lock may still be at work. */
const isHeld = async (path: string): Promise<boolean> => {
  try {
    const [pid, host] = (await readFile(path, "utf8")).split("@")
    return host === hostname() ? isRunning(Number(pid)) : Date.now() - (await stat(path)).mtimeMs < hour
  } catch {
    return false
  }
}

/** Takes the lock; false where somebody else has it. */
const take = async (path: string): Promise<boolean> => {
  await mkdir(dirname(path), { recursive: true })
  if (await createNew(path, own())) return true
  if (!(await isHeld(path))) await rm(path, { force: true })
  return false
}

/** Runs an effect while no other process holds the lock at `path`; waits until then. */
export const withLock = <A, E, E2, R>(
  path: string,
  onFailure: (cause: unknown) => E2,
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, E | E2, R> => {
  const acquire: Effect.Effect<void, E2> = Effect.flatMap(
    Effect.tryPromise({ try: () => take(path), catch: onFailure }),
    (taken) => (taken ? Effect.void : Effect.andThen(Effect.interruptible(Effect.sleep(patience)), acquire)),
  )
  // Only the waiting may be interrupted: a lock that is taken is always given back.
  return Effect.acquireUseRelease(
    acquire,
    () => effect,
    () => Effect.ignore(Effect.tryPromise(() => rm(path, { force: true }))),
  )
}
