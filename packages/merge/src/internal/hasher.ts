/** A thread that hashes files side by side, a piece of each in turn, and tells how far it is. */
import { createHash } from "node:crypto"
import { closeSync, openSync, readSync } from "node:fs"
import { parentPort, workerData } from "node:worker_threads"

/** What it says: the bytes read so far, in the end the sha256 of each path, or what went wrong. */
export type Answer =
  | { readonly _tag: "Read"; readonly bytes: number }
  | { readonly _tag: "Hashed"; readonly digests: Readonly<Record<string, string>> }
  | { readonly _tag: "Failed"; readonly path: string; readonly problem: string }

const PIECE = 1 << 22
const TELL_EVERY = 1 << 28

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port, no window
const tell = (answer: Answer) => parentPort?.postMessage(answer)

const hashAll = (paths: ReadonlyArray<string>): Answer => {
  const buffer = Buffer.allocUnsafeSlow(PIECE)
  const digests: Record<string, string> = {}
  let open = paths.map((path) => ({ path, file: openSync(path, "r"), hash: createHash("sha256") }))
  let [bytes, told] = [0, 0]
  while (open.length > 0) {
    const left: typeof open = []
    for (const each of open) {
      const read = readSync(each.file, buffer, 0, PIECE, null)
      if (read > 0) {
        each.hash.update(buffer.subarray(0, read))
        left.push(each)
      } else {
        digests[each.path] = each.hash.digest("hex")
        closeSync(each.file)
      }
      bytes += read
    }
    open = left
    if (bytes - told < TELL_EVERY) continue
    told = bytes
    tell({ _tag: "Read", bytes })
  }
  return { _tag: "Hashed", digests }
}

const paths = workerData as ReadonlyArray<string>
try {
  tell(hashAll(paths))
} catch (cause) {
  tell({
    _tag: "Failed",
    path: paths.join(", "),
    problem: cause instanceof Error ? cause.message : String(cause),
  })
}
