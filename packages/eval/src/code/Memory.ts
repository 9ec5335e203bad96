/**
 * Memory of a running program: the resident pages of a process and everything below it.
 *
 * Address-space limits do not fit V8, and none of the limits of a process counts its children, so the sandbox looks at
 * the whole tree from outside and ends it when it grows too large.
 */
import { readFileSync } from "node:fs"

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // The process has ended since its number was read.
    return ""
  }
}

/** Resident memory of a process and its descendants, bytes; 0 once they are gone. */
export const ofTree = (pid: number): number => {
  // VmRSS of /proc/<pid>/status is in kibibytes.
  const own = Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024
  const children = read(`/proc/${pid}/task/${pid}/children`).trim()
  if (children === "") return own
  return children.split(" ").reduce((sum, child) => sum + ofTree(Number(child)), own)
}
