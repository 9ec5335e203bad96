/** A private directory inside the workspace with small pipeline files, and the real command as a child process. */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../bin/hila.mjs", import.meta.url))
const root = fileURLToPath(new URL("../.hila/", import.meta.url))

export interface Result {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

/** Two stages: `double` (label `two`) and `list`, which logs each of its elements to `elements.log`. */
export const good = `
import { Artifact, Pipeline, Source, Stage } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { appendFileSync } from "node:fs"

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {
  readonly blame = "input"
  override get message() { return "thirteen is\\n  bad luck" }
}
const number = Artifact.json("number", Schema.Finite, { summary: String })
const numbers = Artifact.json("numbers", Schema.Array(Schema.Finite), { show: (all) => all.join("\\n") })
const double = Stage.make({
  name: "double", version: 1, inputs: { value: number }, params: { by: Schema.Finite }, output: number,
  run: ({ value }, { by }) =>
    by === 13 ? Effect.fail(new Refused()) : by === 14 ? Effect.fail(new Error("disk on fire")) : Effect.succeed(value * by),
})
const list = Stage.make({
  name: "list", version: 1, inputs: { value: number }, params: { pause: Schema.Finite }, output: numbers,
  run: ({ value }, { pause }) =>
    Stage.forEach([1, 2, 3, 4, 5, 6], (x) => Effect.sync(() => {
      appendFileSync(new URL("elements.log", import.meta.url), x + "\\n")
      return x * value
    }).pipe(Effect.delay(pause)), { part: String, output: number }),
})
export default Pipeline.make({
  name: "toy",
  options: {
    density: Pipeline.option(Schema.Finite, 3, "what to multiply by"),
    pause: Pipeline.option(Schema.Finite, 0, "milliseconds per element"),
  },
  layer: Layer.empty,
  build: ({ density, pause }) => {
    const doubled = double({ value: Source.value(number, 2) }, { by: density }, "two")
    return { doubled, table: list({ value: doubled }, { pause }) }
  },
})
`

export interface Workbench {
  readonly path: (name: string) => string
  readonly write: (name: string, text: string) => void
  readonly files: () => ReadonlyArray<string>
  readonly start: (...args: ReadonlyArray<string>) => ChildProcess
  readonly hila: (...args: ReadonlyArray<string>) => Effect.Effect<Result>
  readonly finish: (child: ChildProcess) => Effect.Effect<Result>
}

/** A workbench with `good` as `toy.ts`, removed when the scope closes. */
export const workbench = Effect.acquireRelease(
  Effect.sync((): Workbench => {
    mkdirSync(root, { recursive: true })
    const directory = mkdtempSync(join(root, "test-"))
    const path = (name: string) => join(directory, name)
    const write = (name: string, text: string) => writeFileSync(path(name), text)
    write("toy.ts", good)
    const start = (...args: ReadonlyArray<string>) =>
      spawn(process.execPath, [bin, ...args], {
        cwd: directory,
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: "1" },
      })
    const finish = (child: ChildProcess) =>
      Effect.callback<Result>((resume) => {
        let out = ""
        let err = ""
        child.stdout?.on("data", (chunk) => (out += String(chunk)))
        child.stderr?.on("data", (chunk) => (err += String(chunk)))
        child.on("close", (code, signal) => resume(Effect.succeed({ code, signal, out, err })))
      })
    return {
      path,
      write,
      start,
      finish,
      files: () => readdirSync(directory).toSorted(),
      hila: (...args) => Effect.suspend(() => finish(start(...args))),
    }
  }),
  ({ path }) => Effect.sync(() => rmSync(path("."), { recursive: true, force: true })),
)
