/**
 * Control groups: where this process may make one, the kernel itself counts and bounds the memory of a program, all its
 * processes and everything it shares included.
 *
 * Both generations are looked for below the group that this process is in. What cannot be made is not missed: then the
 * sandbox looks at the processes from outside (`Memory`).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** The group of one program. */
export interface ControlGroup {
  /** Puts processes into the group; those they start are in it too. */
  readonly add: (processes: ReadonlyArray<number>) => void
  /** Whether the kernel ended a process of the group since its memory was full. */
  readonly wasFull: () => boolean
  /** Removes the group as soon as its processes are gone. */
  readonly remove: () => void
}

const attempt = <A>(run: () => A): A | undefined => {
  try {
    return run()
  } catch {
    return undefined
  }
}

/** Directories of the groups that this process is in, by what mounts usually are called. */
const parents = (): ReadonlyArray<string> =>
  (attempt(() => readFileSync("/proc/self/cgroup", "utf8")) ?? "").split("\n").flatMap((line) => {
    const [, controllers = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === "") return [join("/sys/fs/cgroup", path), join("/sys/fs/cgroup/unified", path)]
    return controllers.split(",").includes("memory") ? [join("/sys/fs/cgroup/memory", path)] : []
  })

/** A group is busy until the last of its processes is: it is tried again after so many milliseconds, so often. */
const again = { milliseconds: 20, times: 250 }

const remove = (directory: string, times: number = again.times): void => {
  const removed = attempt(() => (rmdirSync(directory), true)) === true
  if (!removed && times > 0) setTimeout(() => remove(directory, times - 1), again.milliseconds).unref()
}

/** Removes what processes that were killed have left. */
const sweep = (parent: string): void => {
  for (const name of attempt(() => readdirSync(parent)) ?? []) {
    const [, pid] = /^hila-(\d+)-\d+$/.exec(name) ?? []
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) remove(join(parent, name), 0)
  }
}

let made = 0

/** A new group of at most so many bytes, swap included; undefined where none can be had. */
export const make = (bytes: number): ControlGroup | undefined => {
  for (const parent of parents()) {
    if (made === 0) sweep(parent)
    const directory = join(parent, `hila-${process.pid}-${made++}`)
    if (attempt(() => (mkdirSync(directory), true)) !== true) continue
    const file = (name: string) => join(directory, name)
    const set = (name: string, value: string) =>
      attempt(() => (writeFileSync(file(name), value), true)) === true
    const second = existsSync(file("memory.max"))
    const bounded = second ? set("memory.max", String(bytes)) : set("memory.limit_in_bytes", String(bytes))
    if (!bounded) {
      remove(directory)
      continue
    }
    // Without swap accounting there is no such file, and then swap is not bounded.
    set(second ? "memory.swap.max" : "memory.memsw.limit_in_bytes", second ? "0" : String(bytes))
    const ended = () => {
      const text =
        attempt(() => readFileSync(file(second ? "memory.events" : "memory.oom_control"), "utf8")) ?? ""
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0
    }
    return {
      add: (processes) => processes.forEach((pid) => set("cgroup.procs", String(pid))),
      wasFull: ended,
      remove: () => remove(directory),
    }
  }
  return undefined
}
