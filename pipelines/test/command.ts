/** Runs the `hila` command as a person would, on a store of its own. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../../packages/cli/bin/hila.mjs", import.meta.url))
export const pipeline = fileURLToPath(new URL("../hila.ts", import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly error: string
}

/**
 * Runs the command; `kill` is asked at every event line and may end the process with SIGKILL; `env` adds variables, and
 * `through` is a command that starts it.
 */
export const hila = (
  args: ReadonlyArray<string>,
  kill: (line: string) => boolean = () => false,
  env: Readonly<Record<string, string>> = {},
  through: ReadonlyArray<string> = [],
) =>
  Effect.promise(
    () =>
      new Promise<Outcome>((resolve, reject) => {
        const [program = process.execPath, ...rest] = [...through, process.execPath, bin, ...args]
        const child = spawn(program, rest, {
          env: { ...process.env, ...env },
          stdio: ["ignore", "pipe", "pipe"],
        })
        let out = ""
        let error = ""
        let left = ""
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          out += text
          const lines = (left + text).split("\n")
          left = lines.pop() ?? ""
          if (lines.some(kill)) child.kill("SIGKILL")
        })
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          error += text
        })
        child.on("error", reject)
        child.on("close", (code, signal) => resolve({ code, signal, out, error }))
      }),
  )

/** A store that is removed with the test. */
export const temporaryStore = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "hila-store-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
)

/** The events of every run on a store, oldest run first. */
export const events = (store: string) =>
  Effect.promise(async () => {
    const names = (await readdir(join(store, "runs"))).toSorted()
    const texts = await Promise.all(names.map((name) => readFile(join(store, "runs", name), "utf8")))
    return texts.map((text) =>
      text
        .split("\n")
        // A killed run may end in the middle of a line.
        .filter((line) => line.endsWith("}"))
        .map((line): LoggedEvent => JSON.parse(line)),
    )
  })

export interface LoggedEvent {
  readonly _tag: string
  readonly node?: string
  readonly key?: string
  readonly digest?: string
  readonly done?: number
  readonly kept?: number
}
