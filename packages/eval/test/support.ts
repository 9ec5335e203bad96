/** Small task files and data for tests, and a model that is shared by a file's tests. */
import { CausalModel, Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as Answering from "../src/requests/Answering.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Task from "../src/tasks/Task.ts"
import { checkpointPath } from "./fixtures.ts"

export interface Bench {
  readonly directory: string
  readonly path: (name: string) => string
  readonly write: (name: string, text: string) => string
}

/** A private directory that is removed with the scope. */
export const bench = Effect.acquireRelease(
  Effect.sync((): Bench => {
    const directory = mkdtempSync(join(tmpdir(), "hila-eval-"))
    const path = (name: string) => join(directory, name)
    return {
      directory,
      path,
      write: (name, text) => {
        mkdirSync(dirname(path(name)), { recursive: true })
        writeFileSync(path(name), text)
        return path(name)
      },
    }
  }),
  ({ directory }) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
)

/** Rows as a jsonl file. */
export const jsonl = (rows: ReadonlyArray<unknown>): string =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join("")

/** The keys of a multiple-choice task over `rows.jsonl`. */
export const taskText = (lines: string): string => `task: small
dataset_path: json
dataset_kwargs:
  data_files:
    test: rows.jsonl
test_split: test
output_type: multiple_choice
${lines}
`

/** The one task of a file. */
export const taskOf = Effect.fnUntraced(function* (file: string) {
  const { tasks } = yield* Catalog.select([file])
  const [entry] = tasks
  if (entry === undefined) return yield* Effect.die(`${file} holds no task`)
  return yield* Task.make(entry.file, entry.config)
})

/** A member of the micro family, ready to be asked. */
export const respondent = Effect.fnUntraced(function* (member: string) {
  const model = yield* CausalModel.open(yield* Checkpoint.open(checkpointPath(member)))
  return yield* Answering.respondent(model, member)
})
