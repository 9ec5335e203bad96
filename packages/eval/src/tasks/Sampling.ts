/**
 * Which documents of a split are asked: all of them, the head (as the reference harness limits), or a seeded sample in
 * equal shares of the gold answers.
 */
import { entryOr, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { EvalError } from "../EvalError.ts"
import * as PythonRandom from "./PythonRandom.ts"
import type { Task } from "./Task.ts"
import type { Row } from "./Template.ts"

/** Indices of the documents that are asked, ascending. */
export const choose = Effect.fnUntraced(function* (
  task: Task,
  rows: ReadonlyArray<Row>,
  { limit, sample, seed = 0 }: { readonly limit?: number; readonly sample?: number; readonly seed?: number },
) {
  const all = [...rows.keys()]
  if (limit !== undefined && sample !== undefined) {
    return yield* new EvalError({
      subject: "evaluation",
      problem: "limit takes the head of a set and sample a random part; give one of them",
    })
  }
  for (const [subject, value] of [["limit", limit] as const, ["sample", sample] as const]) {
    if (
      value === undefined ||
      (value > 0 && (Number.isInteger(value) || (subject === "limit" && value < 1)))
    ) {
      continue
    }
    const share = subject === "limit" ? " or a share below 1" : ""
    const problem = `expected a number of documents of at least 1${share}, got ${value}`
    return yield* new EvalError({ subject, problem })
  }
  if (limit !== undefined) return all.slice(0, limit < 1 ? Math.ceil(limit * rows.length) : Math.ceil(limit))
  if (sample === undefined || sample >= rows.length) return all
  // Strata are the gold answers of a task with choices; other tasks have one stratum.
  const strata = new Map<string, Array<number>>()
  const random = PythonRandom.make(seed)
  const shuffled = random.sample(all, all.length)
  for (const id of shuffled) {
    const gold =
      task.readers.choices === undefined ? "" : JSON.stringify(yield* task.readers.target(known(rows[id])))
    strata.set(gold, [...entryOr(strata, gold, []), id])
  }
  // Each stratum gives its share by rank: the document at rank r of n comes r/n of the way through.
  const ranked = [...strata.values()].flatMap((ids) =>
    ids.map((id, rank) => ({ id, place: (rank + 0.5) / ids.length })),
  )
  return ranked
    .toSorted((a, b) => a.place - b.place || a.id - b.id)
    .slice(0, sample)
    .map(({ id }) => id)
    .toSorted((a, b) => a - b)
})
