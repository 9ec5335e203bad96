/** File-system calls as effects whose failures are one line. */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import {
  copyFile,
  type FileHandle,
  link,
  open as openFile,
  readdir,
  realpath,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises"
import { join } from "node:path"

/** The code of a file-system error (`ENOENT`), if it has one. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

/** Why a call failed, and whose turn it is: what is missing, forbidden or of the wrong kind is the user's. */
export const failure = (cause: unknown): { readonly problem: string; readonly blame: "input" | "system" } => {
  const message = cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ") : String(cause)
  switch (codeOf(cause)) {
    case "ENOENT":
      return { problem: "no such file or directory", blame: "input" }
    case "ENOTDIR":
      return { problem: "is not a directory", blame: "input" }
    case "EISDIR":
      return { problem: "is a directory", blame: "input" }
    case "EACCES":
      return { problem: "permission denied", blame: "input" }
    default:
      return { problem: message, blame: "system" }
  }
}

/** Uses a file and closes it, whatever happens. */
export const withFile = <A, E, E2, R>(
  path: string,
  flags: string,
  onFailure: (cause: unknown) => E,
  use: (handle: FileHandle) => Effect.Effect<A, E2, R>,
): Effect.Effect<A, E | E2, R> =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => openFile(path, flags), catch: onFailure }),
    use,
    (handle) => Effect.ignore(Effect.tryPromise(() => handle.close())),
  )

/** Bytes of one system call at most: Node ends the process where a read is asked for 2 GiB or more. */
const atOnce = 2 ** 30

/** Reads `length` bytes from `position`, however many; fewer only where the file ends. */
export const readFully = async (
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array> => {
  const buffer = new Uint8Array(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, Math.min(length - done, atOnce), position + done)
    if (bytesRead === 0) return buffer.subarray(0, done)
    done += bytesRead
  }
  return buffer
}

/** Writes all of `chunk` at the handle's own position. */
export const writeFully = async (handle: FileHandle, chunk: Uint8Array): Promise<void> => {
  let done = 0
  while (done < chunk.length) {
    const { bytesWritten } = await handle.write(chunk, done, Math.min(chunk.length - done, atOnce))
    done += bytesWritten
  }
}

/** Makes a file's bytes durable. */
export const syncFile = async (path: string): Promise<void> => {
  const handle = await openFile(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes new names in a directory durable; a directory opens and syncs like a file. */
export const syncDirectory = syncFile

/** The files of a directory, and links in it that lead nowhere. */
export interface Listing {
  /** POSIX name → absolute path. */
  readonly files: Readonly<Record<string, string>>
  /** POSIX names of links whose target is not there. */
  readonly dangling: ReadonlyArray<string>
}

/**
 * Every file below a directory, links followed, entries that begin with a dot left out. A link to a directory that it
 * stands in leads nowhere.
 */
export const listFiles = async (directory: string): Promise<Listing> => {
  const files: Record<string, string> = {}
  const dangling: Array<string> = []
  const visit = async (folder: string, prefix: string, above: ReadonlyArray<string>): Promise<void> => {
    const own = [...above, await realpath(folder)]
    for (const entry of (await readdir(folder)).toSorted()) {
      if (entry.startsWith(".")) continue
      const [name, path] = [`${prefix}${entry}`, join(folder, entry)]
      const target = await realpath(path).catch(nowhere)
      if (target === undefined || own.includes(target)) dangling.push(name)
      else if ((await stat(target)).isDirectory()) await visit(path, `${name}/`, own)
      else files[name] = path
    }
  }
  await visit(directory, "", [])
  return { files, dangling }
}

const nowhere = (cause: unknown): undefined => {
  const code = codeOf(cause)
  if (code !== "ENOENT" && code !== "ELOOP") throw cause
}

/** What a call gives, or `missing` where the file it is about does not exist. */
export const orMissing = async <A, B>(call: () => Promise<A>, missing: B): Promise<A | B> => {
  try {
    return await call()
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return missing
    throw cause
  }
}

/** Writes a file that must be new; false where it exists. */
export const createNew = async (path: string, text: string): Promise<boolean> => {
  try {
    await writeFile(path, text, { flag: "wx" })
    return true
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false
    throw cause
  }
}

/** Gives a file a second name by a hard link, or copies it where links are impossible; true where it is a link. */
export const linkOrCopy = async (from: string, to: string): Promise<boolean> => {
  // A hard link to a symbolic link would be a symbolic link itself.
  const file = await realpath(from)
  try {
    await link(file, to)
    return true
  } catch (cause) {
    if (codeOf(cause) === "ENOSPC") throw cause
    await copyFile(file, to, constants.COPYFILE_FICLONE)
    return false
  }
}

/** Makes `name` a symbolic link to `target`, given relative to it, or copies `file`; keeps what is there. */
export const symlinkOrCopy = async (target: string, name: string, file: string): Promise<void> => {
  try {
    await symlink(target, name)
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return
    if (codeOf(cause) !== "EPERM" && codeOf(cause) !== "ENOTSUP") throw cause
    await copyFile(file, name)
  }
}
