/** Calls of the file system that merging needs, as promises. */
import { constants } from "node:fs"
import { copyFile, type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises"
import { basename, dirname, join } from "node:path"

/** The most that is asked of the system in one call. */
const MOST = 1 << 30

/** The code of a file-system error (`ENOENT`), if it has one. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

/** Fills `bytes` from `position` of a file. */
export const readFully = async (handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> => {
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, MOST)
    const { bytesRead } = await handle.read(bytes, done, length, position + done)
    if (bytesRead === 0) throw new Error("the file has become shorter since its header was read")
    done += bytesRead
  }
}

/** Writes all of `bytes` from `position` of a file. */
export const writeFully = async (handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> => {
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, MOST)
    done += (await handle.write(bytes, done, length, position + done)).bytesWritten
  }
}

/** Makes a file, or the names in a directory, durable. */
export const sync = async (path: string): Promise<void> => {
  const handle = await open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Copies files to names below a directory, and makes them durable. */
export const copyInto = async (
  directory: string,
  files: ReadonlyArray<readonly [name: string, from: string]>,
): Promise<void> => {
  for (const [name, from] of files) {
    const to = join(directory, name)
    await mkdir(dirname(to), { recursive: true })
    await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
    await sync(to)
  }
}

/** Whether a directory may be renamed to `path`. */
export const isFree = async (path: string): Promise<boolean> => {
  try {
    return (await readdir(path)).length === 0
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return true
    throw cause
  }
}

/** Removes the temporary siblings `<name>.<process>-<8 hex digits>.tmp` of processes that are no more. */
export const removeAbandoned = async (path: string): Promise<void> => {
  const prefix = `${basename(path)}.`
  for (const name of await readdir(dirname(path))) {
    const rest = name.startsWith(prefix) ? name.slice(prefix.length) : ""
    const owner = /^(\d+)-[0-9a-f]{8}\.tmp$/.exec(rest)?.[1]
    if (owner === undefined || isAlive(Number(owner))) continue
    await rm(join(dirname(path), name), { recursive: true, force: true })
  }
}

const isAlive = (id: number): boolean => {
  try {
    return process.kill(id, 0)
  } catch (cause) {
    return codeOf(cause) !== "ESRCH"
  }
}
