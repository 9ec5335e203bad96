/**
 * Few-shot examples: which documents are shown before the one that is asked, chosen as the reference harness chooses.
 *
 * The default sampler draws with Python's generator, seeded once per task: the draws of a document depend on those
 * before it, so they are made for every document of the split, asked or not. `first_n` always shows the first.
 */
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as PythonRandom from "./PythonRandom.ts"
import type { Task } from "./Task.ts"
import type { Row } from "./Template.ts"

/** The shots of the document at an index of the evaluated split. */
export type Shots = (index: number) => ReadonlyArray<Row>

/** The split that shots come from, unless the file gives them itself. */
export const split = ({ config }: Task): string | undefined =>
  config.fewshot_config?.split ??
  config.fewshot_split ??
  config.training_split ??
  config.validation_split ??
  config.test_split ??
  undefined

/**
 * The shots of every document. `pool` has the documents shots are drawn from, `documents` those of the evaluated split;
 * they are the same rows where both are one split. A document is kept from being its own shot only where the file names
 * the evaluated split as the one of shots: where shots come from it for want of another, and under `first_n`, the
 * harness lets it through, and so the numbers are the harness's.
 */
export const choose = Effect.fnUntraced(function* (
  { config, file, numFewshot }: Task,
  pool: ReadonlyArray<Row>,
  documents: ReadonlyArray<Row>,
  seed: number,
): Effect.fn.Return<Shots, TaskError> {
  if (numFewshot === 0) return () => []
  const { fewshot_indices: indices, sampler = "default", samples } = config.fewshot_config ?? {}
  const given: ReadonlyArray<Row> = samples ?? pool
  const chosen =
    indices === undefined || indices === null
      ? given
      : indices.flatMap((index) => given.slice(index, index + 1))
  const fail = (key: string, problem: string) => new TaskError({ file, key, problem })
  const named = config.fewshot_config?.split ?? config.fewshot_split ?? undefined
  const own = named !== undefined && named === (config.test_split ?? config.validation_split)
  const needed = numFewshot + Number(sampler === "default" && samples === undefined && own)
  if (chosen.length < needed) {
    return yield* fail(
      "num_fewshot",
      `${numFewshot} shots need ${needed} documents, there are ${chosen.length}`,
    )
  }
  if (sampler === "first_n") {
    const shots = chosen.slice(0, numFewshot)
    return () => shots
  }
  if (sampler !== "default") {
    return yield* fail(
      "fewshot_config.sampler",
      `there is no sampler ${sampler}; there are default and first_n`,
    )
  }
  const random = PythonRandom.make(seed)
  const drawn = documents.map((document) =>
    random
      .sample(chosen, needed)
      .filter((shot) => !own || shot !== document)
      .slice(0, numFewshot),
  )
  return (index) => drawn[index] ?? []
})
