/**
 * Few-shot examples: which documents are shown before the one that is asked, chosen as the reference harness chooses.
 *
 * The default sampler draws with Python's generator, seeded once per task: the draws of a document depend on those
 * before it, so they are made for every document of the split, asked or not. `first_n` shows the first.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { TaskError } from "../EvalError.ts"
import * as PythonRandom from "./PythonRandom.ts"
import type { Task } from "./Task.ts"
import type { Row } from "./Template.ts"

/** The shots of the document at an index of the evaluated split. */
export type Shots = (index: number) => ReadonlyArray<Row>

/** The split of shots that a file names. */
const named = ({ config }: Pick<Task, "config">): string | undefined =>
  config.fewshot_config?.split ?? config.fewshot_split ?? undefined

/** The shots that a file gives itself, which count where it names no split. */
const written = (task: Pick<Task, "config">): ReadonlyArray<Row> | undefined => {
  const samples = task.config.fewshot_config?.samples
  return named(task) === undefined && Array.isArray(samples) ? samples : undefined
}

/** The split that shots come from; none where the file gives them itself, whose split is then not read. */
export const split = (task: Pick<Task, "config">): string | undefined => {
  if (written(task) !== undefined) return undefined
  const { training_split: training, validation_split: validation, test_split: test } = task.config
  return named(task) ?? training ?? validation ?? test ?? undefined
}

/**
 * The shots of every document. `pool` has the documents shots are drawn from, `documents` those of the evaluated split.
 *
 * A document is kept from being its own shot where the split of shots that the file names is its test split, or where it
 * names neither: one more is then drawn, and rows equal to the document are left out. Elsewhere the harness lets a
 * document through, and so the numbers are the harness's.
 */
export const choose = Effect.fnUntraced(function* (
  task: Task,
  pool: ReadonlyArray<Row>,
  documents: ReadonlyArray<Row>,
  seed: number,
): Effect.fn.Return<Shots, TaskError> {
  const { config, file, numFewshot } = task
  if (numFewshot === 0) return () => []
  const { fewshot_indices: indices, sampler: asked = "default" } = config.fewshot_config ?? {}
  const given = written(task) ?? pool
  const chosen =
    indices === undefined || indices === null || indices.length === 0
      ? given
      : indices.flatMap((index) => given.slice(index, index + 1))
  const sampler = typeof asked === "string" ? asked : asked.function
  const fail = (key: string, problem: string) => new TaskError({ file, key, problem })
  const apart = named(task) === (config.test_split ?? undefined)
  const needed = numFewshot + Number(apart)
  if (sampler !== "default" && sampler !== "first_n") {
    return yield* fail(
      "fewshot_config.sampler",
      `there is no sampler ${sampler}; there are default and first_n`,
    )
  }
  if (chosen.length < (sampler === "first_n" ? numFewshot : needed)) {
    return yield* fail(
      "num_fewshot",
      `${numFewshot} shots need ${needed} documents, there are ${chosen.length}`,
    )
  }
  const others = (document: Row, rows: ReadonlyArray<Row>) =>
    apart ? rows.filter((row) => row !== document && !isDeepStrictEqual(row, document)) : rows
  if (sampler === "first_n") {
    const few = documents.find((document) => others(document, chosen).length < numFewshot)
    if (few !== undefined) {
      return yield* fail(
        "num_fewshot",
        `${numFewshot} shots need as many documents beside the one asked, there are ${chosen.length - 1}`,
      )
    }
    return (index) => others(at(documents, index), chosen).slice(0, numFewshot)
  }
  const random = PythonRandom.make(seed)
  const drawn: Array<ReadonlyArray<Row>> = []
  for (const document of documents) {
    const shots = others(document, random.sample(chosen, needed)).slice(0, numFewshot)
    if (shots.length === numFewshot) {
      drawn.push(shots)
      continue
    }
    // Equal rows were drawn more than once: drawn again from all that are another document.
    const rest = others(document, chosen)
    if (rest.length < numFewshot) {
      return yield* fail(
        "num_fewshot",
        `${numFewshot} shots need as many documents that are not the one asked, there are ${rest.length}`,
      )
    }
    drawn.push(random.sample(rest, numFewshot))
  }
  return (index) => at(drawn, index)
})
