/**
 * The sandbox: runs a generated program where it can do no harm that is known how to prevent.
 *
 * No network, no files but the system's programs and libraries (read-only) and a small directory in memory, no
 * privileges, bounded time, memory, file size and number of processes. What is not prevented is in SECURITY.md. Nothing
 * is run unless the whole jail can be had: `make` tries it once, with a program that tells what it sees, and fails
 * with one line otherwise. No program outlives whoever runs it.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { randomBytes, randomInt } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EvalError } from "../EvalError.ts"
import * as ControlGroup from "./ControlGroup.ts"
import * as Interpreters from "./Interpreters.ts"
import * as Jail from "./Jail.ts"
import * as JavaScriptProgram from "./JavaScriptProgram.ts"
import * as Limits from "./Limits.ts"
import * as Memory from "./Memory.ts"
import * as Warden from "./Warden.ts"

/** A program as text. */
export interface Program {
  readonly language: Interpreters.Language
  readonly source: string
}

/** How a program ended: by itself with a code, or by what stopped it. */
export interface Outcome {
  readonly end: "exit" | "timeout" | "memory" | "signal"
  /** Whether the program's text ran to its end without an error, as the warden says. */
  readonly finished: boolean
  /** Exit code, or null where the program was stopped. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** Wall-clock seconds. */
  readonly seconds: number
}

/** Runs programs; made by `make`, which proves that the jail holds here. */
export interface Sandbox {
  readonly run: (program: Program, limits?: Limits.Limits) => Effect.Effect<Outcome, EvalError>
}

/** Whether a program's text ran to its end without an error; that it ended with 0 alone says nothing. */
export const passed = (outcome: Outcome): boolean => outcome.finished

const watchEveryMilliseconds = 20
/**
 * Ids from here on belong to no user of an ordinary system. Each program has its own, drawn from many, since limits count
 * by user and others may run programs too; in a container that has 65,536 ids there are fewer to draw from.
 */
const users = [
  { first: 0x2000_0000, count: 0x2000_0000 },
  { first: 61_200, count: 3_600 },
]

/** A user id for one program, where this process may become another user. */
const drawUser = (): number | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const [, start = 0, length = 0] =
    /^\s*(\d+)\s+\d+\s+(\d+)/.exec(readFileSync("/proc/self/uid_map", "utf8")) ?? []
  const range = users.find(
    ({ count, first }) => first >= Number(start) && first + count <= Number(start) + Number(length),
  )
  return range === undefined ? undefined : range.first + randomInt(range.count)
}

/** Keeps the first bytes of a stream and goes on reading, so that the writer is never blocked. */
const collector = (stream: NodeJS.ReadableStream, bytes: number) => {
  const chunks: Array<Buffer> = []
  let kept = 0
  stream.on("data", (chunk: Buffer) => {
    if (kept >= bytes) return
    chunks.push(chunk.subarray(0, bytes - kept))
    kept += chunk.length
  })
  return () => Buffer.concat(chunks).toString("utf8")
}

/**
 * Starts the command in a process group of its own and ends the group by time, memory or interruption.
 *
 * When the warden is ready its processes are put into a control group, where there is one, and it is given a new random
 * word; if the word comes back the program has run to its end. The warden's input stays open as long as this process lives.
 */
const supervise = (
  [file, args]: readonly [string, ReadonlyArray<string>],
  limits: Limits.Limits,
): Effect.Effect<Outcome, EvalError> =>
  Effect.callback<Outcome, EvalError>((resume) => {
    const start = performance.now()
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      detached: true,
      env: {
        PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        HOME: "/box",
        LANG: "C.UTF-8",
        PYTHONUTF8: "1",
      },
    })
    const stdout = collector(child.stdout, limits.outputKiB * 1024)
    const stderr = collector(child.stderr, limits.outputKiB * 1024)
    let end: Outcome["end"] = "exit"
    const kill = () => {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, "SIGKILL")
      } catch {
        // The group is gone already.
      }
    }
    const stop = (why: Outcome["end"]) => {
      if (end === "exit") end = why
      kill()
    }
    const bytes = limits.memoryMiB * 1024 * 1024
    const group = ControlGroup.make(bytes)
    const timer = setTimeout(() => stop("timeout"), limits.seconds * Limits.patience * 1000)
    const watch = setInterval(() => {
      // The kernel ends one process of a full group, and its parent may go on.
      const isFull =
        group === undefined ? child.pid !== undefined && Memory.ofTree(child.pid) > bytes : group.wasFull()
      if (isFull) stop("memory")
    }, watchEveryMilliseconds)
    const settle = () => {
      clearTimeout(timer)
      clearInterval(watch)
      child.stdin.destroy()
      group?.remove()
    }

    const word = randomBytes(16).toString("hex")
    let told = ""
    // A warden that has ended reads no more.
    child.stdin.on("error", () => {})
    const channel = child.stdio[Warden.descriptors.verdict] as NodeJS.ReadableStream
    channel.on("data", (chunk: Buffer) => {
      told += chunk.toString("latin1")
      if (told !== Warden.ready) return
      if (child.pid !== undefined) group?.add(Memory.tree(child.pid))
      child.stdin.write(`${Warden.go}${word}\n`)
    })
    child.on("error", (cause) => {
      settle()
      resume(
        Effect.fail(
          new EvalError({ subject: "code execution", problem: `cannot start ${file}: ${cause.message}` }),
        ),
      )
    })
    child.on("close", (code, signal) => {
      if (end === "exit" && group?.wasFull() === true) end = "memory"
      // Whatever the first process left behind in its group goes with it.
      kill()
      settle()
      const stopped = end === "exit" && (code === null || signal !== null) ? "signal" : end
      resume(
        Effect.succeed({
          end: stopped,
          finished: stopped === "exit" && told === `${Warden.ready}${word}\n`,
          code: stopped === "exit" ? code : null,
          stdout: stdout(),
          stderr: stderr(),
          seconds: (performance.now() - start) / 1000,
        }),
      )
    })
    return Effect.sync(() => {
      settle()
      kill()
    })
  })

/** A file with the program's text, beside it what starts it, readable by every user; removed afterwards. */
const programFile = (source: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = await mkdtemp(join(tmpdir(), "hila-program-"))
      await writeFile(join(directory, "program"), source, { mode: 0o644 })
      await writeFile(join(directory, Jail.files.warden), Warden.source, { mode: 0o644 })
      await writeFile(join(directory, Jail.files.javascript), JavaScriptProgram.source, { mode: 0o644 })
      return directory
    }),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true })),
  ).pipe(Effect.map((directory) => join(directory, "program")))

const runIn = (interpreters: Interpreters.Interpreters) =>
  Effect.fn("Sandbox.run")(function* (program: Program, limits: Limits.Limits = Limits.standard) {
    const file = yield* programFile(program.source)
    const [warden, own] = [interpreters("python", limits), interpreters(program.language, limits)]
    return yield* supervise(Jail.command(warden, own, file, limits, drawUser()), limits)
  }, Effect.scoped)

/** What the jail has to show before anything else is run in it: one line of JSON. */
const selfTest = `
import ctypes, errno, json, os, socket, sys
def refused(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    return getattr(libc, name)(*arguments) == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)
def family(number):
    try:
        socket.socket(number, socket.SOCK_STREAM); return "open"
    except OSError:
        return "closed"
seen = {"root": sorted(os.listdir("/")), "pid": sum(name.isdigit() for name in os.listdir("/proc")) <= 2, "uid": os.getuid()}
try:
    socket.create_connection(("192.0.2.1", 80), 0.2); seen["network"] = "open"
except OSError as e:
    seen["network"] = "closed" if e.errno == errno.ENETUNREACH else str(e)
try:
    open("/usr/hila-was-here", "w"); seen["write"] = "open"
except OSError:
    seen["write"] = "closed"
with open("/proc/self/status") as f:
    seen["caps"] = [l.split()[1] for l in f if l.startswith("CapEff")][0]
seen["machines"] = family(40)
seen["shared"] = refused("memfd_create", b"x", 0) and refused("shmget", 0, 4096, 0o1600)
seen["namespaces"] = refused("unshare", 0x10000000)
print(json.dumps(seen))
`

const refuse = (problem: string) =>
  new EvalError({
    subject: "code execution",
    problem: `the sandbox cannot be had on this system: ${problem}; nothing was run`,
  })

/**
 * A sandbox that has shown to hold here: own root, no network, no writable system, no capabilities, own processes.
 *
 * Fails with one line where any of these cannot be had (not Linux, no namespaces, a missing tool).
 */
export const make: Effect.Effect<Sandbox, EvalError> = Effect.gen(function* () {
  if (process.platform !== "linux")
    return yield* refuse(`it needs Linux namespaces, this is ${process.platform}`)
  const run = runIn(yield* Interpreters.find)
  const outcome = yield* run({ language: "python", source: selfTest }, { ...Limits.standard, seconds: 20 })
  if (!passed(outcome)) {
    const [first = `the self-test ended by ${outcome.end}`] = outcome.stderr.trim().split("\n").toReversed()
    return yield* refuse(first === "" ? `the self-test ended by ${outcome.end}` : first)
  }
  const seen: {
    network?: string
    write?: string
    caps?: string
    pid?: boolean
    root?: ReadonlyArray<string>
    machines?: string
    shared?: boolean
    namespaces?: boolean
  } = JSON.parse(outcome.stdout)
  const holes = [
    ...(seen.network === "closed" ? [] : ["the network is reachable"]),
    ...(seen.write === "closed" ? [] : ["system directories are writable"]),
    ...(/^0+$/.test(seen.caps ?? "") ? [] : ["privileges are left"]),
    ...(seen.pid === true ? [] : ["other processes are visible"]),
    ...(seen.machines === "closed" ? [] : ["the machine's host is reachable"]),
    ...(seen.shared === true ? [] : ["memory can be had that nothing counts"]),
    ...(seen.namespaces === true ? [] : ["new namespaces can be had"]),
    ...(seen.root?.includes("etc") === false ? [] : ["the system's root is visible"]),
  ]
  if (holes.length > 0) return yield* refuse(holes.join(", "))
  return { run }
})
