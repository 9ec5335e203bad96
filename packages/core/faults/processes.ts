/** Real processes on one store: killed at any moment, or started together. */
import { Effect } from "effect"
import { deepStrictEqual } from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { aftermath, logged } from "./aftermath.ts"
import { expected } from "./subject.ts"

const child = fileURLToPath(new URL("child.ts", import.meta.url))

interface Outcome {
  readonly out: string
  readonly error: string
  readonly signal: NodeJS.Signals | null
  /** Milliseconds from `ready` to the end. */
  readonly took: number
}

/** Starts the subject; kills it with SIGKILL `after` milliseconds, counted from when it says that it is ready. */
const start = (directory: string, log: string, pause: number, after?: number): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const args = ["--conditions=@hila/source", "--disable-warning=ExperimentalWarning", child]
    const running = spawn(process.execPath, [...args, directory, log, String(pause)])
    let [out, error, ready] = ["", "", 0]
    running.stdout.on("data", (text) => {
      if (ready === 0) {
        ready = performance.now()
        if (after !== undefined) setTimeout(() => running.kill("SIGKILL"), after)
      }
      out += String(text)
    })
    running.stderr.on("data", (text) => (error += String(text)))
    running.on("error", reject)
    running.on("close", (_code, signal) => resolve({ out, error, signal, took: performance.now() - ready }))
  })

const inDirectory = <A>(use: (directory: string, log: string) => Promise<A>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "hila-faults-"))),
    (root) => Effect.promise(() => use(join(root, "store"), join(root, "bodies.log"))),
    (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true })),
  )

const pause = 5

/** Kills `count` runs, each at another moment of its life, and checks what the next run makes of it. */
export const kills = (count: number, report: (line: string) => void = () => undefined) =>
  Effect.gen(function* () {
    const { took } = yield* inDirectory((directory, log) => start(directory, log, pause))
    let killed = 0
    const kept = new Set<number>()
    for (let index = 0; killed < count; index++) {
      const after = (took * (index % count)) / count
      const survived = yield* inDirectory(async (directory, log) => {
        const { signal } = await start(directory, log, pause, after)
        const finished = await Effect.runPromise(aftermath(directory, log))
        return signal === "SIGKILL" ? finished : undefined
      })
      if (survived === undefined) continue
      killed++
      kept.add(survived)
    }
    report(
      `${killed} runs killed with SIGKILL, at ${kept.size} different stages of completion: all recovered`,
    )
    return killed
  })

/** Starts `count` runs together; every body may run once in all of them. */
export const together = (count: number, report: (line: string) => void = () => undefined) =>
  inDirectory(async (directory, log) => {
    const outcomes = await Promise.all(Array.from({ length: count }, () => start(directory, log, 20)))
    for (const { error, out } of outcomes) {
      deepStrictEqual(error, "")
      deepStrictEqual(JSON.parse(out.split("\n")[1] ?? ""), expected)
    }
    const bodies = logged(log).toSorted()
    deepStrictEqual(bodies, ["files", "scale 1", "scale 2", "scale 3", "scale 4", "sum"])
    report(
      `${count} processes on one store: ${bodies.length} bodies, each ran once in all; all got the result`,
    )
  })
