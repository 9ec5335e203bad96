/**
 * What a task reads from a document: its text, its target, its choices.
 *
 * Each is a column, a template, a constant or a named function. Readings follow the reference harness: a rendered text
 * of digits is an index where the task has choices, and a rendered list is a list.
 */
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as Functions from "./Functions.ts"
import * as PythonLiteral from "../internal/pythonLiteral.ts"
import { type Field, FunctionName } from "./TaskConfig.ts"
import * as Template from "./Template.ts"

/** Reads a value of a document. */
export type Reader<A> = (row: Template.Row) => Effect.Effect<A, TaskError>

/** What an answer is: an index into the choices, a text, or several that are all right. */
export type Target = Gold | ReadonlyArray<Gold>

/** A right answer: its text, or which choice it is, where truth values are the indices that they are in Python. */
export type Gold = boolean | number | string

/** The right answers of a target, one or more. */
export const golds = (target: Target): ReadonlyArray<Gold> => (typeof target === "object" ? target : [target])

/** The choice that a gold answer names by its index; undefined where it is a text. */
export const indexOf = (gold: Gold): number | undefined =>
  typeof gold === "string" ? undefined : Number(gold)

const isDigits = (text: string) => /^\d+$/.test(text)

/** The list that a rendered text is, if it is one. */
const literalList = (text: string): ReadonlyArray<unknown> | undefined => {
  const value = text.startsWith("[") && text.endsWith("]") ? PythonLiteral.read(text)?.value : undefined
  return Array.isArray(value) ? value : undefined
}

/** Reads a field as it stands: the column, the template's text, the constant, the function's result. */
export const reader = Effect.fnUntraced(function* (
  file: string,
  key: string,
  field: Field,
): Effect.fn.Return<Reader<unknown>, TaskError> {
  if (field instanceof FunctionName) {
    const call = yield* Functions.find(Functions.fields, file, key, field)
    return (row) =>
      Effect.try({
        try: () => call(row),
        catch: (cause) =>
          new TaskError({ file, key, problem: `${field.function} fails on a document: ${String(cause)}` }),
      })
  }
  if (typeof field !== "string") return () => Effect.succeed(field)
  const template = yield* Template.make(file, key, field)
  return (row) => (Object.hasOwn(row, field) ? Effect.succeed(row[field]) : template.render(row))
})

/** Reads a field as text. */
export const rendered = (file: string, key: string, field: Field) =>
  Effect.map(
    reader(file, key, field),
    (read): Reader<string> =>
      (row) =>
        Effect.map(read(row), Template.text),
  )

const mistake = (file: string, key: string, problem: string) =>
  Effect.fail(new TaskError({ file, key, problem }))

/** Reads `doc_to_text`: a text, or an index where the text says which context is right. */
export const text = Effect.fnUntraced(function* (
  file: string,
  field: Field,
  hasChoices: boolean,
): Effect.fn.Return<Reader<string | number>, TaskError> {
  const read = yield* reader(file, "doc_to_text", field)
  return (row) =>
    Effect.map(read(row), (value) => {
      if (isIndex(value, hasChoices)) return Number(value)
      const rendered = Template.text(value)
      return hasChoices && typeof field === "string" && field.includes("{") && isDigits(rendered)
        ? Number(rendered)
        : rendered
    })
})

/** Whether a value counts among integers: truth values do, as in Python. */
const isIndex = (value: unknown, hasChoices: boolean): value is number | boolean =>
  hasChoices && (typeof value === "boolean" || (typeof value === "number" && Number.isInteger(value)))

const itemOf = (value: unknown, hasChoices: boolean): Gold =>
  isIndex(value, hasChoices) ? value : Template.text(value)

const targetOf = (value: unknown, hasChoices: boolean): Target =>
  Array.isArray(value) ? value.map((item) => itemOf(item, hasChoices)) : itemOf(value, hasChoices)

/** The target in a template's text: a list or an index where it reads as one. */
const targetIn = (rendered: string, hasChoices: boolean): Target => {
  if (hasChoices && isDigits(rendered)) return Number(rendered)
  const list = literalList(rendered)
  return list === undefined ? rendered : targetOf(list, hasChoices)
}

/** Reads `doc_to_target`. */
export const target = Effect.fnUntraced(function* (
  file: string,
  field: Field,
  hasChoices: boolean,
): Effect.fn.Return<Reader<Target>, TaskError> {
  const read = yield* reader(file, "doc_to_target", field)
  const isTemplate = (row: Template.Row) => typeof field === "string" && !Object.hasOwn(row, field)
  return (row) =>
    Effect.map(read(row), (value) =>
      isTemplate(row) ? targetIn(Template.text(value), hasChoices) : targetOf(value, hasChoices),
    )
})

/** Reads `doc_to_choice`: at least one choice, none of them empty. */
export const choices = Effect.fnUntraced(function* (
  file: string,
  field: Field,
): Effect.fn.Return<Reader<ReadonlyArray<string>>, TaskError> {
  const key = "doc_to_choice"
  const read = yield* reader(file, key, field)
  const constant = typeof field === "object" && !(field instanceof FunctionName)
  return Effect.fnUntraced(function* (row) {
    const value = yield* read(row)
    const list: unknown = typeof value === "string" ? (PythonLiteral.read(value)?.value ?? value) : value
    // A table of choices is written in the task's file; elsewhere its names would be meant by the one reading and its values by another.
    const found = Array.isArray(list)
      ? list
      : constant && typeof list === "object" && list !== null
        ? Object.values(list)
        : undefined
    if (found === undefined || found.length === 0) {
      return yield* mistake(file, key, `expected a list of choices, got ${JSON.stringify(value)}`)
    }
    const texts = found.map((item: unknown) => Template.text(item))
    return texts.includes("") ? yield* mistake(file, key, "a choice is empty; a choice needs text") : texts
  })
})
