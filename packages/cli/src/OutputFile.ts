/** Files that commands write: complete under their name or not there. */
import * as Effect from "effect/Effect"
import { copyFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { UsageError } from "./CliError.ts"
import * as Failure from "./Failure.ts"

const replace = (path: string, fill: (temporary: string) => Promise<void>) =>
  Effect.tryPromise({
    try: async () => {
      const temporary = `${path}.${process.pid}.tmp`
      try {
        await fill(temporary)
        await rename(temporary, path)
      } finally {
        await rm(temporary, { force: true })
      }
      return (await stat(path)).size
    },
    catch: (cause) =>
      new UsageError({ problem: `${path}: cannot be written: ${Failure.oneLine(String(cause))}` }),
  })

/** Writes a text; gives its bytes. */
export const write = (path: string, text: string): Effect.Effect<number, UsageError> =>
  replace(path, (temporary) => writeFile(temporary, text))

/** Copies a file; gives its bytes. */
export const copy = (from: string, path: string): Effect.Effect<number, UsageError> =>
  replace(path, (temporary) => copyFile(from, temporary))
