/**
 * A disk that fails at one call.
 *
 * `error` fails that call alone, as a full or forbidden disk does: the process goes on and has to clean up. `crash` is
 * the end of the process at that call: what it was writing is half there, and nothing happens afterwards, cleaning
 * up included. To tell apart what it left from what is in use, its process number is one that no process has.
 */
import * as Disk from "../Disk.ts"

export type Fault =
  | { readonly _tag: "crash"; readonly call: number }
  | { readonly _tag: "error"; readonly call: number; readonly code: string }

/** Above the largest number that the kernel gives. */
const nobody = 99_999_999

const systemError = (code: string, call: string): Error =>
  Object.assign(new Error(`${code}, ${call}`), { code })

const half = async function* (chunks: AsyncIterable<Uint8Array>) {
  for await (const chunk of chunks) {
    yield chunk.subarray(0, Math.floor(chunk.length / 2))
    return
  }
}

/** A disk with a fault, and what was called on it so far. Without a fault it only counts. */
export const faultyDisk = (fault?: Fault) => {
  const calls: Array<string> = []
  let isDead = false
  /** Lets a call through, or throws instead; `partly` is what a crash in the middle of it leaves. */
  const guard = <A>(name: string, call: () => A, partly?: () => Promise<unknown>): A | Promise<never> => {
    if (isDead) throw systemError("EIO", name)
    calls.push(name)
    if (fault?.call !== calls.length) return call()
    if (fault._tag === "error") throw systemError(fault.code, name)
    isDead = true
    if (partly === undefined) throw systemError("EIO", name)
    return partly().then(() => {
      throw systemError("EIO", name)
    })
  }
  const at = Disk.node
  const sync = <A>(name: string, call: () => A): A => guard(name, call) as A
  const disk: Disk.Disk = {
    pid: fault?._tag === "crash" ? nobody : at.pid,
    text: (path) => sync("text", () => at.text(path)),
    stat: (path) => sync("stat", () => at.stat(path)),
    entries: (path) => sync("entries", () => at.entries(path)),
    write: async (path, text) =>
      guard(
        "write",
        () => at.write(path, text),
        () => at.write(path, text.slice(0, text.length / 2)),
      ),
    receive: async (path, chunks) =>
      guard(
        "receive",
        () => at.receive(path, chunks),
        () => at.receive(path, half(chunks)),
      ),
    append: async (path, text) =>
      guard(
        "append",
        () => at.append(path, text),
        () => at.append(path, text.slice(0, text.length / 2)),
      ),
    makeDirectory: async (path) => guard("makeDirectory", () => at.makeDirectory(path)),
    link: async (from, to) => guard("link", () => at.link(from, to)),
    copy: async (from, to) => guard("copy", () => at.copy(from, to)),
    rename: async (from, to) => guard("rename", () => at.rename(from, to)),
    remove: async (path) => guard("remove", () => at.remove(path)),
    removeEmpty: async (path) => guard("removeEmpty", () => at.removeEmpty(path)),
    chmod: async (path, mode) => guard("chmod", () => at.chmod(path, mode)),
    touch: async (path, seconds) => guard("touch", () => at.touch(path, seconds)),
    sync: async (path) => guard("sync", () => at.sync(path)),
    hash: async (path) => guard("hash", () => at.hash(path)),
  }
  return { disk, calls }
}
