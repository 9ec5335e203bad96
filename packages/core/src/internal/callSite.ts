/** Where a function was called from. */
import { fileURLToPath } from "node:url"

/** The absolute path of the module that called `callee`, or undefined where the stack does not tell. */
export const callerOf = (callee: (...args: never) => unknown): string | undefined => {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 1
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, callee)
  Error.stackTraceLimit = before
  const [, place] =
    /(?:\(|at |async )((?:file:\/\/|\/|[A-Z]:\\)[^\n]*?):\d+:\d+\)?$/m.exec(holder.stack ?? "") ?? []
  if (place === undefined) return undefined
  return place.startsWith("file://") ? fileURLToPath(place) : place
}
