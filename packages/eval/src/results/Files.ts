/**
 * Results on disk, in the reference harness's layout: `results_<date>.json` and `samples_<task>_<date>.jsonl` in a
 * directory of the model's name. A file is written whole and then renamed, so that none is ever half there.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { Sample, TaskResult } from "../Evaluation.ts"
import { ResultsError } from "../EvalError.ts"
import * as PythonJson from "../internal/pythonJson.ts"
import * as Generation from "../tasks/Generation.ts"
import * as Results from "./Results.ts"

const attempt = <A>(path: string, blame: "input" | "system", call: () => Promise<A>) =>
  Effect.tryPromise({
    try: call,
    catch: (cause) =>
      new ResultsError({ path, problem: cause instanceof Error ? cause.message : String(cause), blame }),
  })

const write = (path: string, text: string) =>
  attempt(path, "system", async () => {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(`${path}.part`, text)
    await rename(`${path}.part`, path)
  })

/** A model's name as that of a directory, a task's as part of a file's. */
export const sanitized = (model: string): string =>
  model.replaceAll(/^[./]+|\/+$/g, "").replaceAll(/["<>:/|\\?*[\]\s]+/g, "__") || "model"

/** A date as part of a file's name. */
export const stamp = (date: Date): string => date.toISOString().replaceAll(":", "-").replace("Z", "")

/** The results file of a run. */
export const resultsPath = (directory: string, stamped: string): string =>
  join(directory, `results_${stamped}.json`)

const samplesPath = (directory: string, task: string, stamped: string): string =>
  join(directory, `samples_${sanitized(task)}_${stamped}.jsonl`)

/** Writes a task's samples. */
export const writeSamples = (
  directory: string,
  stamped: string,
  { overlaps = [], samples, task }: TaskResult,
) => {
  const shares = new Map(overlaps.map(({ id, share }) => [id, share]))
  const line = (sample: Sample) => {
    const share = shares.get(sample.item.id)
    const entry = Results.sample(sample, Generation.completed(task.config))
    return `${PythonJson.dump(share === undefined ? entry : { ...entry, overlap: share })}\n`
  }
  return write(samplesPath(directory, task.name, stamped), samples.map(line).join(""))
}

/** Writes the results of the tasks that are finished so far. */
export const writeResults = (directory: string, stamped: string, results: Results.Results) =>
  write(resultsPath(directory, stamped), `${JSON.stringify(results, undefined, 2)}\n`)

const Values = Schema.Record(Schema.String, Schema.Unknown)
const ResultsFile = Schema.fromJsonString(
  Schema.Struct({
    results: Schema.Record(Schema.String, Values),
    configs: Values,
    higher_is_better: Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Boolean)),
    model_name: Schema.optionalKey(Schema.String),
  }),
)
const SampleLine = Schema.fromJsonString(
  Schema.StructWithRest(
    Schema.Struct({ doc_id: Schema.Int, filter: Schema.String, doc_hash: Schema.String }),
    [Values],
  ),
)

/** A results file, as far as it is read again. */
export type Read = typeof ResultsFile.Type
/** A line of a samples file. */
export type ReadSample = typeof SampleLine.Type

const decode = <A>(path: string, schema: Schema.ConstraintCodec<A, string>, text: string, what: string) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema)(text),
    (cause) =>
      new ResultsError({
        path,
        problem: `is no ${what}: ${cause.message.replaceAll(/\s*\n\s*/g, " ")}`,
        blame: "input",
      }),
  )

/** Reads a results file. */
export const readResults = Effect.fn("Files.readResults")(function* (path: string) {
  const text = yield* attempt(path, "input", () =>
    readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) =>
      Promise.reject(
        cause.code === "ENOENT"
          ? new Error("there is no such file")
          : cause.code === "EISDIR"
            ? new Error("is a directory: name the results_<date>.json in it")
            : cause,
      ),
    ),
  )
  return yield* decode(path, ResultsFile, text, "results file")
})

/** Reads the samples of a task that lie beside a results file. */
export const readSamples = Effect.fn("Files.readSamples")(function* (results: string, task: string) {
  const stamped = /results_(.*)\.json$/.exec(results)?.[1]
  if (stamped === undefined) {
    return yield* new ResultsError({
      path: results,
      problem: "expected a name like results_<date>.json, by which its samples are found",
      blame: "input",
    })
  }
  const path = samplesPath(dirname(results), task, stamped)
  const text = yield* attempt(path, "input", () =>
    readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) =>
      Promise.reject(
        cause.code === "ENOENT"
          ? new Error("is missing; a comparison needs the samples beside the results")
          : cause,
      ),
    ),
  )
  return yield* Effect.forEach(
    text.split("\n").filter((line) => line !== ""),
    (line) => decode(path, SampleLine, line, "samples file"),
  )
})
