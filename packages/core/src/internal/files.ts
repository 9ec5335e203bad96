/** Calls on the disk as effects: one place where a system error becomes one line. */
import * as Effect from "effect/Effect"
import { StoreError } from "../CoreError.ts"
import { Disk } from "../Disk.ts"
import { codeOf, describe } from "./systemError.ts"

/** What the system says of a place that nobody may write to, and what is first tried there. */
const refusals = new Set(["EACCES", "ENOTDIR", "EPERM", "EROFS"])
export const readOnlyCodes: ReadonlySet<string> = new Set(["EROFS", "EACCES", "EPERM"])
const attempts = new Set(["create", "lock", "publish to", "write"])

const failure = (operation: string, path: string, cause: unknown): StoreError => {
  const [problem, code] = [describe(cause), codeOf(cause)]
  const said = { operation, path, ...(code === undefined ? {} : { code }) }
  return attempts.has(operation) && refusals.has(code ?? "")
    ? new StoreError({ ...said, problem: `${problem}; name another directory with --store`, blame: "input" })
    : new StoreError({ ...said, problem })
}

/** Whether a failure says that nothing may be written there, rather than that something went wrong. */
export const isReadOnly = ({ code }: StoreError): boolean => readOnlyCodes.has(code ?? "")

/** Makes calls on the disk for a path of the store's. */
export const storeTry = <A>(
  operation: string,
  path: string,
  call: (disk: Disk) => Promise<A>,
): Effect.Effect<A, StoreError> =>
  Effect.flatMap(Disk, (disk) =>
    Effect.tryPromise({
      try: () => call(disk),
      catch: (cause) => failure(operation, path, cause),
    }),
  )

/** The same for calls that return at once. */
export const storeSync = <A>(
  operation: string,
  path: string,
  call: (disk: Disk) => A,
): Effect.Effect<A, StoreError> =>
  Effect.flatMap(Disk, (disk) =>
    Effect.try({
      try: () => call(disk),
      catch: (cause) => failure(operation, path, cause),
    }),
  )

/** Cleaning up is worth a second attempt, and a third. */
export const persist = async (call: () => Promise<void>): Promise<void> => {
  await call().catch(call).catch(call)
}

/** Relative POSIX names of the files below a directory, sorted. Links are followed; sockets and the like are refused. */
export const filesBelow = (disk: Disk, directory: string, prefix = ""): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (const entry of disk.entries(prefix === "" ? directory : `${directory}/${prefix}`)) {
    const name = prefix === "" ? entry.name : `${prefix}/${entry.name}`
    const kind = entry.kind === "link" ? disk.stat(`${directory}/${name}`)?.kind : entry.kind
    if (kind === "directory") names.push(...filesBelow(disk, directory, name))
    else if (kind === "file") names.push(name)
    else throw new Error(`${name} is neither a file nor a directory`)
  }
  return prefix === "" ? names.toSorted() : names
}
