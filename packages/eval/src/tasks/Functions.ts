/**
 * The functions that task files may name by `!function hila.…`: preparing documents, reading fields, scoring responses.
 *
 * A task file of the reference harness names Python functions, which are not run here; whoever has such a file learns
 * which function it is and where.
 */
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import type { Value } from "../metrics/Aggregation.ts"
import * as Documents from "./functions/Documents.ts"
import * as Math from "./functions/Math.ts"
import * as WikiText from "./functions/WikiText.ts"
import type { FunctionName } from "./TaskConfig.ts"
import type { Row } from "./Template.ts"

/** ExclusiveProgram the rows of a data set into documents. */
export type Process = (rows: ReadonlyArray<Row>) => ReadonlyArray<Row>

/** ExclusiveProgram a document and the responses to it into values by metric. */
export type Results = (row: Row, responses: ReadonlyArray<Response>) => Readonly<Record<string, Value>>

/** A response as a result function sees it: a log-likelihood with its greedy flag, or a text. */
export interface Response {
  readonly logLikelihood: number
  readonly isGreedy: boolean
  readonly text: string
}

/** `process_docs`. */
export const processes: Readonly<Record<string, Process>> = { ...Documents.processes, ...Math.processes }

/** `doc_to_text` and its kin. */
export const fields: Readonly<Record<string, (row: Row) => unknown>> = Documents.fields

/** `process_results`. */
export const results: Readonly<Record<string, Results>> = {
  ...Documents.results,
  ...Math.results,
  "hila.wikitext_counts": WikiText.counts,
}

/** `custom_dataset`: rows that are made, not read. */
export const datasets: Readonly<Record<string, () => Effect.Effect<ReadonlyArray<Row>, TaskError>>> =
  Documents.datasets

/** The function of that name in a table of functions. */
export const find = <A>(
  table: Readonly<Record<string, A>>,
  file: string,
  key: string,
  { function: name }: FunctionName,
): Effect.Effect<A, TaskError> => {
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found !== undefined) return Effect.succeed(found)
  const known = Object.keys(table).join(", ")
  return Effect.fail(
    new TaskError({
      file,
      key,
      problem: `!function ${name} is a Python function, which Hila does not run; write a template, or one of ${known}`,
    }),
  )
}
