/**
 * Jinja templates of task files: compiled once, rendered for each document.
 *
 * Every mistake is a `TaskError` with the task's file and key: a template that cannot be read, a column that the data
 * lack, an operation that fails on a document.
 */
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as Python from "../internal/python.ts"

/** A document: one row of a data set. */
export type Row = Python.Row

export interface Template {
  readonly render: (row: Row) => Effect.Effect<string, TaskError>
}

/** Text of a value as Python prints it: None, True, lists with quoted strings. */
export const text = (value: unknown): string => Python.python(value)

const columns = (row: Row): string => Object.keys(row).join(", ") || "no columns"

const runProblem = (cause: unknown, row: Row): string => {
  if (cause instanceof Python.Undefined) {
    return `the template uses "${cause.variable}", which the data lack; they have ${columns(row)}`
  }
  return `the template fails on a document: ${cause instanceof Error ? cause.message : String(cause)}`
}

const readProblem = (cause: unknown): string => {
  // The engine runs past the end of a template that stops inside a block or an expression.
  if (cause instanceof TypeError) return "the template ends inside a block or an expression: close it"
  return `cannot read the template: ${cause instanceof Error ? cause.message : String(cause)}`
}

/** Reads the template under `key` of a task's file. */
export const make = Effect.fnUntraced(function* (
  file: string,
  key: string,
  source: string,
): Effect.fn.Return<Template, TaskError> {
  const engine = yield* Effect.promise(() => import("../internal/jinja.ts"))
  const program = yield* Effect.try({
    try: () => engine.compile(source),
    catch: (cause) => new TaskError({ file, key, problem: readProblem(cause) }),
  })
  return {
    render: (row) =>
      Effect.try({
        try: () => engine.render(program, row),
        catch: (cause) => new TaskError({ file, key, problem: runProblem(cause, row) }),
      }),
  }
})
