/**
 * The data sets that the inputs of a merge say they were trained on: `trainedOn` in the front matter of their cards. What
 * a merge was made of, it has seen, so its card names them all; evaluation marks tasks that are built from them.
 */
import { type Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

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
  const { parse } = yield* Effect.promise(() => import("yaml"))
  const problem = "its front matter should have trainedOn, a list of names of data sets"
  const refuse = new CheckpointError({ path, problem, blame: "input" })
  const card = yield* Effect.try({ try: (): unknown => parse(matter), catch: () => refuse })
  const names = typeof card === "object" && card !== null && "trainedOn" in card ? card.trainedOn : undefined
  return isNames(names) ? names : yield* refuse
})

/**
 * What a merge without a recipe writes beside its weights: the files of the model that it is like and, where an input
 * names data sets, a card that names them in place of that model's own.
 */
export const carried = Effect.fnUntraced(function* (
  method: string,
  like: Checkpoint.Checkpoint,
  all: ReadonlyArray<Checkpoint.Checkpoint>,
) {
  const names = yield* of(all)
  if (names.length === 0) return { files: like.files }
  const { stringify } = yield* Effect.promise(() => import("yaml"))
  const matter = stringify({ library_name: "transformers", tags: ["merge", "hila"], trainedOn: names })
  const card = `---\n${matter}---\n\n# A merge\n\n${all.length} checkpoints merged by ${method} with Hila.\n`
  return {
    files: Object.fromEntries(Object.entries(like.files).filter(([name]) => name !== "README.md")),
    finish: (directory: string) =>
      Effect.tryPromise({
        try: () => writeFile(join(directory, "README.md"), card),
        catch: failure(directory),
      }),
  }
})

const failure = (path: string) => (cause: unknown) =>
  new CheckpointError({
    path,
    problem: cause instanceof Error ? cause.message : String(cause),
    blame: "system",
  })
