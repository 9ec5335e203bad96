/**
 * Memory of a running program: the resident pages of a process and everything below it, and the shared memory that its
 * descriptors hold open.
 *
 * Address-space limits do not fit V8, and none of the limits of a process counts its children, so where no control group
 * can be had (`ControlGroup`) the sandbox looks at the whole tree from outside and ends it when it grows too large.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"

const attempt = <A>(read: () => A, otherwise: A): A => {
  try {
    return read()
  } catch {
    // The process has ended since its number was read, or shows nothing to this user.
    return otherwise
  }
}

const read = (path: string): string => attempt(() => readFileSync(path, "utf8"), "")
const list = (path: string): ReadonlyArray<string> => attempt(() => readdirSync(path), [])

/** A process and everything below it: any of its threads may have started a child. */
export const tree = (pid: number): ReadonlyArray<number> => [
  pid,
  ...list(`/proc/${pid}/task`)
    .flatMap((thread) => read(`/proc/${pid}/task/${thread}/children`).trim().split(" "))
    .filter((child) => child !== "")
    .flatMap((child) => tree(Number(child))),
]

/** Files in memory that a process holds open and that have no name: bytes by inode. */
const unnamed = (pid: number) =>
  list(`/proc/${pid}/fd`).flatMap((descriptor): ReadonlyArray<readonly [inode: number, bytes: number]> => {
    const path = `/proc/${pid}/fd/${descriptor}`
    if (!/^\/(?:memfd:|SYSV|dev\/zero).*\(deleted\)$/.test(attempt(() => readlinkSync(path), ""))) return []
    const held = attempt(() => statSync(path), undefined)
    return held === undefined ? [] : [[held.ino, held.blocks * 512]]
  })

/** Resident memory of a process and its descendants, with what shared memory they hold open, bytes; 0 once they are gone. */
export const ofTree = (pid: number): number => {
  const all = tree(pid)
  // VmRSS of /proc/<pid>/status is in kibibytes.
  const resident = all.map(
    (one) => Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${one}/status`))?.[1] ?? 0) * 1024,
  )
  const files = new Map(all.flatMap(unnamed))
  return [...resident, ...files.values()].reduce((sum, bytes) => sum + bytes, 0)
}
