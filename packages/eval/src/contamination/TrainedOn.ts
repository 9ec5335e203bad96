/**
 * Data sets a model says it was trained on: `trainedOn` in the front matter of its card, the checkpoint's README.md.
 *
 * A task is built from such a set if its data set on the Hub, or a directory or file of its local data, goes by the name.
 * Names are compared without case, hyphens and underscores. A card may say too little: no mention is no proof.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { TaskError } from "../EvalError.ts"
import type { TaskConfig } from "../tasks/TaskConfig.ts"
import * as Dataset from "../tasks/Dataset.ts"

const isNames = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((name) => typeof name === "string")

/** The names a model's card gives; none without a card, or in one that does not say. */
export const read = Effect.fn("TrainedOn.read")(function* (
  files: Readonly<Record<string, string>>,
): Effect.fn.Return<ReadonlyArray<string>, TaskError> {
  const file = files["README.md"]
  if (file === undefined) return []
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) => new TaskError({ file, problem: `cannot be read: ${String(cause)}` }),
  })
  const [, matter] = /^---\r?\n(.*?)\r?\n---(?:\r?\n|$)/s.exec(text) ?? []
  // Cards of the Hub need not be good YAML; only one that says what is asked here has to be.
  if (matter === undefined || !/^trainedOn\s*:/m.test(matter)) return []
  const { parse } = yield* Effect.promise(() => import("yaml"))
  const card = yield* Effect.try({
    try: (): unknown => parse(matter),
    catch: (cause) =>
      new TaskError({
        file,
        problem: `its front matter is no YAML: ${at((cause instanceof Error ? cause.message : String(cause)).split("\n"), 0)}`,
      }),
  })
  const names = typeof card === "object" && card !== null && "trainedOn" in card ? card.trainedOn : undefined
  if (isNames(names)) return names
  return yield* new TaskError({
    file,
    key: "trainedOn",
    problem: `expected a list of names of data sets, got ${JSON.stringify(names)}`,
  })
})

const folded = (name: string): string => name.toLowerCase().replaceAll(/[-_]/g, "")

/** Of the names, those a task's data go by. */
export const ofTask = (names: ReadonlyArray<string>, config: TaskConfig): ReadonlyArray<string> => {
  const own = new Set(Dataset.namesOf(config).map(folded))
  return names.filter((name) => own.has(folded(name)))
}
