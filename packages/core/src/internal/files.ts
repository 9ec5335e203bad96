/** File-system calls as effects: one place where a system error becomes one line. */
import * as Effect from "effect/Effect"
import { StoreError } from "../CoreError.ts"

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on the device",
  ENOTDIR: "is not a directory",
  EROFS: "the file system is read-only",
}

/** The code of a system error (`"ENOENT"`), or undefined. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

/** What a thrown value says, in one line. */
export const describe = (cause: unknown): string => {
  const code = codeOf(cause)
  const known = code === undefined ? undefined : reasons[code]
  if (known !== undefined) return known
  return (cause instanceof Error ? cause.message : String(cause)).replaceAll("\n", " ")
}

/** Runs a file-system call on a path of the store's. */
export const storeTry = <A>(
  operation: string,
  path: string,
  call: () => Promise<A>,
): Effect.Effect<A, StoreError> =>
  Effect.tryPromise({
    try: call,
    catch: (cause) => new StoreError({ operation, path, problem: describe(cause) }),
  })
