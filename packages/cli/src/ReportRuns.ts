/** What `hila report` does. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { UsageError } from "./CliError.ts"
import * as PipelineFile from "./PipelineFile.ts"
import * as Data from "./report/Data.ts"
import * as Page from "./report/Page.ts"
import * as Stores from "./Stores.ts"
import { findRun } from "./StoreRuns.ts"
import { duration, table } from "./Tables.ts"

const { version }: { readonly version: string } = createRequire(import.meta.url)("../package.json")

const versions = { hila: version, node: process.versions.node, system: `${process.platform} ${process.arch}` }

/** The report for a terminal: outputs as `hila run` prints them, and what each stage took. */
const text = ({ outputs, run, steps }: Data.Data): string =>
  [
    `${run.pipeline} ${run.run}: ${run.outcome}, ${run.hits} kept, ${run.runs} ran`,
    ...outputs.map(({ name, text: shown }) =>
      shown.includes("\n") ? `\n${name}\n${shown}` : `${name}: ${shown}`,
    ),
    "",
    table(
      steps.map(({ action, hit, title }) => [
        title,
        hit ? "kept" : "ran",
        duration(action.seconds),
        action.summary,
      ]),
    ),
  ].join("\n")

/** The same for programs. */
const json = ({ inputs, outputs, run, steps }: Data.Data): string =>
  JSON.stringify({
    run,
    inputs,
    outputs: outputs.map(({ name, text: shown }) => ({ name, text: shown })),
    stages: steps.map(({ action, hit, title }) => ({ stage: title, hit, ...action })),
  })

export const report = Effect.fnUntraced(function* (given: {
  readonly run: string
  readonly html: boolean
  readonly output: Option.Option<string>
  readonly pipeline: Option.Option<string>
  readonly store: string
  readonly json: boolean
}) {
  const data = yield* Effect.gen(function* () {
    const run = yield* findRun(given.run)
    if (Option.isNone(given.pipeline)) return yield* Data.collect(run)
    const pipeline = yield* PipelineFile.load(given.pipeline.value)
    return yield* Data.collect(run, yield* Data.artistsOf(pipeline, run.set))
  }).pipe(Effect.provide(Stores.layer(given)))
  if (!given.html) return yield* Console.log(given.json ? json(data) : text(data))
  const path = Option.getOrElse(given.output, () => `${data.run.pipeline}-report.html`)
  const page = Page.html(data, versions)
  yield* Effect.tryPromise({
    try: () => writeFile(path, page),
    catch: (cause) =>
      new UsageError({
        problem: `--output ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      }),
  })
  return yield* Console.log(given.json ? JSON.stringify({ output: path }) : path)
})
