/** Where a result goes: a directory that is new or empty, on a disk that holds it. */
import { CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdir, statfs } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import * as Disk from "../engine/Disk.ts"
import { MergeError } from "../MergeError.ts"
import type { Options } from "../Options.ts"
import * as Report from "./Report.ts"

const fullOf = ([name]: ReadonlyArray<string>): string | undefined =>
  name === undefined ? undefined : `is not empty (it has ${name}): name a new directory, or empty this one`

/** Why nothing can be written where a directory cannot be listed; a directory that is not there is made. */
const closedBy = ({ code, message }: NodeJS.ErrnoException): string | undefined => {
  if (code === "ENOENT") return undefined
  return code === "ENOTDIR"
    ? "is a file, or below one: name a new directory"
    : `cannot be written: ${message}`
}

/** The output directory must be free, and its disk must hold the result. */
export const check = Effect.fnUntraced(function* (
  directory: string,
  needed: number,
  { freeBytes = free }: Pick<Options, "freeBytes">,
) {
  const path = resolve(directory)
  const problem = yield* Effect.promise(() => readdir(path).then(fullOf, closedBy))
  if (problem !== undefined) return yield* new CheckpointError({ path, problem, blame: "input" })
  const left = yield* Disk.attempt(path)(() => freeBytes(path))
  if (left < needed) {
    const problem = `the disk of ${path} is too small: the result needs ${Report.bytesText(needed)}, free are ${Report.bytesText(left)}`
    return yield* new MergeError({ method: "merge", input: "output", problem })
  }
})

/** Bytes free for this user where a directory is or will be. */
const free = async (directory: string): Promise<number> => {
  try {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  } catch (cause) {
    const parent = dirname(directory)
    if (parent === directory) throw cause
    return free(parent)
  }
}
