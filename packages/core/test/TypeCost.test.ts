import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../", import.meta.url))
const directory = `${root}.hila/types-${process.pid}`

/** A pipeline of so many stage calls, each taking the one before and every tenth one more. */
const pipeline = (calls: number): string =>
  `
import { Artifact, Pipeline, Source, Stage } from "@hila/core"
import { Context, Effect, Layer, Schema } from "effect"
class Runtime extends Context.Service<Runtime, { readonly f: number }>()("Runtime") {}
const Model = Artifact.json("model", Schema.Struct({ layers: Schema.Int }))
const step = Stage.make({
  name: "step", version: 1,
  inputs: { one: Model, many: Stage.each(Model) },
  params: { method: Schema.Literals(["revert", "add"]), limit: Schema.optionalKey(Schema.Int) },
  output: Model,
  run: ({ one }) => Effect.map(Runtime, () => one),
})
const n0 = Source.value(Model, { layers: 1 })
${Array.from({ length: calls }, (_, i) => `const n${i + 1} = step({ one: n${i}, many: [n${i - (i % 10)}, n${i}] }, { method: "revert" })`).join("\n")}
export default Pipeline.make({ name: "wide", build: () => ({ last: n${calls} }), layer: Layer.succeed(Runtime, { f: 1 }) })
`

const configuration = {
  extends: "../../tsconfig.test.json",
  compilerOptions: { skipLibCheck: true },
  include: ["pipeline.ts"],
}

/** Type instantiations that the compiler counts for a pipeline of so many calls. */
const instantiations = (calls: number) =>
  Effect.promise(async () => {
    writeFileSync(`${directory}/pipeline.ts`, pipeline(calls))
    writeFileSync(`${directory}/tsconfig.json`, JSON.stringify(configuration))
    const tsc = fileURLToPath(import.meta.resolve("typescript/package.json")).replace(
      "package.json",
      "bin/tsc",
    )
    const out = await new Promise<string>((resolve, reject) =>
      execFile(process.execPath, [tsc, "-p", directory, "--extendedDiagnostics"], (error, text) =>
        error === null ? resolve(text) : reject(new Error(text, { cause: error })),
      ),
    )
    return Number(/Instantiations:\s+(\d+)/.exec(out)?.[1])
  })

describe("The types of a pipeline", () => {
  it.live(
    "cost a stage call no more than 160 instantiations, in a pipeline of 200",
    () =>
      Effect.acquireUseRelease(
        Effect.sync(() => mkdirSync(directory, { recursive: true })),
        () =>
          Effect.gen(function* () {
            const [none, all] = [yield* instantiations(1), yield* instantiations(201)]
            assert.isAtMost((all - none) / 200, 160)
          }),
        () => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
      ),
    120_000,
  )
})
