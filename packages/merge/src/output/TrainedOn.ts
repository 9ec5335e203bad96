/**
 * The data sets that the inputs of a merge say they were trained on: `trainedOn` in the front matter of their cards. What
 * a merge was made of, it has seen, so its card names them all; evaluation marks tasks that are built from them.
 */
import { type Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"

/** Loaded where it is needed: pipelines look at cards, and most have none. */
const yaml = Effect.promise(() => import("yaml"))

const isNames = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((name) => typeof name === "string")

/** The names in the cards of checkpoints, each once, in their order. */
export const of = Effect.fnUntraced(function* (
  checkpoints: ReadonlyArray<Pick<Checkpoint.Checkpoint, "files">>,
): Effect.fn.Return<ReadonlyArray<string>, CheckpointError> {
  const found = yield* Effect.forEach(checkpoints, ({ files }) => ofCard(files["README.md"]))
  return [...new Set(found.flat())]
})

const ofCard = Effect.fnUntraced(function* (path: string | undefined) {
  if (path === undefined) return []
  const text = yield* Effect.tryPromise({ try: () => readFile(path, "utf8"), catch: failure(path) })
  const [, matter] = /^---\r?\n(.*?)\r?\n---(?:\r?\n|$)/s.exec(text) ?? []
  if (matter === undefined || !/^trainedOn\s*:/m.test(matter)) return []
  const { parse } = yield* yaml
  const problem = "its front matter should have trainedOn, a list of names of data sets"
  const refuse = new CheckpointError({ path, problem, blame: "input" })
  const card = yield* Effect.try({ try: (): unknown => parse(matter), catch: () => refuse })
  const names = typeof card === "object" && card !== null && "trainedOn" in card ? card.trainedOn : undefined
  return isNames(names) ? names : yield* refuse
})

/** A card that names data sets and nothing else. */
export const card = Effect.fnUntraced(function* (
  method: string,
  names: ReadonlyArray<string>,
  checkpoints: number,
): Effect.fn.Return<string> {
  const { stringify } = yield* yaml
  const matter = stringify({ library_name: "transformers", tags: ["merge", "hila"], trainedOn: names })
  return `---\n${matter}---\n\n# A merge\n\n${checkpoints} checkpoints merged by ${method} with Hila.\n`
})

const failure = (path: string) => (cause: unknown) =>
  new CheckpointError({
    path,
    problem: cause instanceof Error ? cause.message : String(cause),
    blame: "system",
  })
