/**
 * The disk: every file-system call of the engine, behind one reference.
 *
 * By default it is the real one. A test puts another in its place to make any single call fail, or to stop the process
 * at it (`@hila/core/testing`). Calls on small things (records, stats) are synchronous: that is ten times faster
 * than a round trip through the thread pool, and a run of hits is made of nothing else. Calls that may take long
 * (hashing, syncing, copying) are not.
 */
import * as Context from "effect/Context"
import { createHash } from "node:crypto"
import { constants, readdirSync, readFileSync, statSync } from "node:fs"
import * as fs from "node:fs/promises"
import { codeOf } from "./internal/systemError.ts"

/** What is known of a file or directory without reading it; links are followed. */
export interface Stats {
  readonly kind: "file" | "directory" | "other"
  /** Bytes. */
  readonly size: number
  readonly inode: number
  /** Names the inode has. */
  readonly names: number
  /** Milliseconds since 1970: last write, last change of anything (which nobody can set back). */
  readonly written: number
  readonly changed: number
  /** Differs as soon as the content may differ: device, inode, size and both times in nanoseconds. */
  readonly stamp: string
}

/** One name in a directory. */
export interface Entry {
  readonly name: string
  readonly kind: "file" | "directory" | "link" | "other"
}

/** File-system calls; a failed one throws or rejects with the system's error. */
export interface Disk {
  /** The process that locks and temporary files belong to. */
  readonly pid: number
  /** The text of a small file, or undefined if there is none. */
  readonly text: (path: string) => string | undefined
  readonly stat: (path: string) => Stats | undefined
  /** What a directory contains; nothing if there is none. */
  readonly entries: (path: string) => ReadonlyArray<Entry>
  /** Writes a new file. */
  readonly write: (path: string, text: string) => Promise<void>
  /** Writes a stream of bytes as a new file. */
  readonly receive: (path: string, chunks: AsyncIterable<Uint8Array>) => Promise<void>
  readonly append: (path: string, text: string) => Promise<void>
  /** Creates a directory and those above it; it may exist. */
  readonly makeDirectory: (path: string) => Promise<void>
  /** Hard link; `to` must not exist. */
  readonly link: (from: string, to: string) => Promise<void>
  /** Copy, sharing blocks where the file system can; `to` must not exist. */
  readonly copy: (from: string, to: string) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
  /** Removes a file or a whole directory; it may be gone. */
  readonly remove: (path: string) => Promise<void>
  /** Removes a directory if it is empty. */
  readonly removeEmpty: (path: string) => Promise<void>
  readonly chmod: (path: string, mode: number) => Promise<void>
  /** Sets the time of the last write, in seconds since 1970; the time of the last change becomes now. */
  readonly touch: (path: string, seconds: number) => Promise<void>
  /** Waits until a file or directory is on the disk. */
  readonly sync: (path: string) => Promise<void>
  /** Sha256 of a file. */
  readonly hash: (path: string) => Promise<string>
}

const kindOf = (entry: {
  readonly isFile: () => boolean
  readonly isDirectory: () => boolean
}): "file" | "directory" | "other" => (entry.isFile() ? "file" : entry.isDirectory() ? "directory" : "other")

/** Undefined where there is no such file. */
const orMissing = <A>(call: () => A): A | undefined => {
  try {
    return call()
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return undefined
    throw cause
  }
}

const stat = (path: string): Stats | undefined => {
  const info = orMissing(() => statSync(path, { bigint: true, throwIfNoEntry: false }))
  if (info === undefined) return undefined
  return {
    kind: kindOf(info),
    size: Number(info.size),
    inode: Number(info.ino),
    names: Number(info.nlink),
    written: Number(info.mtimeMs),
    changed: Number(info.ctimeMs),
    get stamp() {
      return [info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs].join(" ")
    },
  }
}

const withHandle = async <A>(
  path: string,
  flags: string,
  use: (handle: fs.FileHandle) => Promise<A>,
): Promise<A> => {
  const handle = await fs.open(path, flags)
  try {
    return await use(handle)
  } finally {
    await handle.close()
  }
}

/** Bytes read at once while hashing: large enough that calls cost nothing, small enough for the processor's cache. */
const chunk = 1 << 20

/** The next chunk is read while the last one is hashed. */
const hash = (path: string): Promise<string> =>
  withHandle(path, "r", async (handle) => {
    const sum = createHash("sha256")
    const buffers = [Buffer.allocUnsafe(chunk), Buffer.allocUnsafe(chunk)] as const
    let [now, next] = buffers
    let { bytesRead } = await handle.read(now, 0, chunk)
    while (bytesRead > 0) {
      const reading = handle.read(next, 0, chunk)
      sum.update(now.subarray(0, bytesRead))
      ;({ bytesRead } = await reading)
      ;[now, next] = [next, now]
    }
    return sum.digest("hex")
  })

/** The file system of this machine. */
export const node: Disk = {
  pid: process.pid,
  text: (path) => orMissing(() => readFileSync(path, "utf8")),
  stat,
  entries: (path) =>
    (orMissing(() => readdirSync(path, { withFileTypes: true })) ?? []).map((entry) => ({
      name: entry.name,
      kind: entry.isSymbolicLink() ? "link" : kindOf(entry),
    })),
  write: (path, text) => fs.writeFile(path, text, { flag: "wx" }),
  receive: (path, chunks) => fs.writeFile(path, chunks, { flag: "wx" }),
  append: (path, text) => fs.appendFile(path, text),
  makeDirectory: async (path) => void (await fs.mkdir(path, { recursive: true })),
  // A second name of what a symbolic link points to, or a relative link would point elsewhere from there.
  link: async (from, to) => fs.link(await fs.realpath(from), to),
  copy: (from, to) => fs.copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL),
  rename: (from, to) => fs.rename(from, to),
  remove: (path) => fs.rm(path, { recursive: true, force: true }),
  removeEmpty: (path) => fs.rmdir(path),
  chmod: (path, mode) => fs.chmod(path, mode),
  touch: (path, seconds) => fs.utimes(path, seconds, seconds),
  sync: (path) => withHandle(path, "r", (handle) => handle.sync()),
  hash,
}

/** The disk in use. */
export const Disk = Context.Reference<Disk>("@hila/core/Disk", { defaultValue: () => node })
