/**
 * The sandbox: runs a generated program where it can do no harm that is known how to prevent.
 *
 * No network, no files but the system's programs and libraries (read-only) and a small directory in memory, no
 * privileges, bounded time, memory, file size and number of processes. What is not prevented is in SECURITY.md. Nothing
 * is run unless the whole jail can be had: `make` tries it once, with a program that tells what it sees, and fails
 * with one line otherwise.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EvalError } from "../EvalError.ts"
import * as Interpreters from "./Interpreters.ts"
import * as Jail from "./Jail.ts"
import * as Limits from "./Limits.ts"
import * as Memory from "./Memory.ts"

/** A program as text. */
export interface Program {
  readonly language: Interpreters.Language
  readonly source: string
}

/** How a program ended: by itself with a code, or by what stopped it. */
export interface Outcome {
  readonly end: "exit" | "timeout" | "memory" | "signal"
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

/** Whether a program ended by itself without an error. */
export const passed = (outcome: Outcome): boolean => outcome.end === "exit" && outcome.code === 0

const watchEveryMilliseconds = 20
/** Ids from here on belong to no user of an ordinary system; each program that runs has its own. */
const firstUser = 61_000
const users = 2000
let programs = 0

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

/** Starts the command in a process group of its own and ends the group by time, memory or interruption. */
const supervise = (
  [file, args]: readonly [string, ReadonlyArray<string>],
  limits: Limits.Limits,
): Effect.Effect<Outcome, EvalError> =>
  Effect.callback<Outcome, EvalError>((resume) => {
    const start = performance.now()
    const child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
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
    const timer = setTimeout(() => stop("timeout"), limits.seconds * Limits.patience * 1000)
    const watch = setInterval(() => {
      if (child.pid !== undefined && Memory.ofTree(child.pid) > limits.memoryMiB * 1024 * 1024) stop("memory")
    }, watchEveryMilliseconds)
    const settle = () => {
      clearTimeout(timer)
      clearInterval(watch)
    }
    child.on("error", (cause) => {
      settle()
      resume(
        Effect.fail(
          new EvalError({ subject: "code execution", problem: `cannot start ${file}: ${cause.message}` }),
        ),
      )
    })
    child.on("close", (code, signal) => {
      settle()
      // Whatever the first process left behind in its group goes with it.
      kill()
      const stopped = end === "exit" && (code === null || signal !== null) ? "signal" : end
      resume(
        Effect.succeed({
          end: stopped,
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

/** A file with the program's text, readable by every user, removed afterwards. */
const programFile = (source: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = await mkdtemp(join(tmpdir(), "hila-program-"))
      await writeFile(join(directory, "program"), source, { mode: 0o644 })
      return directory
    }),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true })),
  ).pipe(Effect.map((directory) => join(directory, "program")))

const runIn = (interpreters: Interpreters.Interpreters) =>
  Effect.fn("Sandbox.run")(function* (program: Program, limits: Limits.Limits = Limits.standard) {
    const file = yield* programFile(program.source)
    const uid = process.getuid?.() === 0 ? firstUser + (programs++ % users) : undefined
    return yield* supervise(Jail.command(interpreters(program.language, limits), file, limits, uid), limits)
  }, Effect.scoped)

/** What the jail has to show before anything else is run in it: one line of JSON. */
const selfTest = `
import errno, json, os, socket, sys
seen = {"root": sorted(os.listdir("/")), "pid": os.getpid() <= 4, "uid": os.getuid()}
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
  } = JSON.parse(outcome.stdout)
  const holes = [
    ...(seen.network === "closed" ? [] : ["the network is reachable"]),
    ...(seen.write === "closed" ? [] : ["system directories are writable"]),
    ...(/^0+$/.test(seen.caps ?? "") ? [] : ["privileges are left"]),
    ...(seen.pid === true ? [] : ["other processes are visible"]),
    ...(seen.root?.includes("etc") === false ? [] : ["the system's root is visible"]),
  ]
  if (holes.length > 0) return yield* refuse(holes.join(", "))
  return { run }
})
