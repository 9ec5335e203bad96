/**
 * Items: a task's documents with their prompts and the requests they make.
 *
 * The prompt is the description, the shots, the document's text and the prefix of generations; a chat template is not
 * applied. Whether an item's gold answer fits its choices is checked here, before a model is asked anything.
 */
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as PythonText from "../metrics/PythonText.ts"
import type { Target } from "../tasks/Fields.ts"
import type { Readers, Task } from "../tasks/Task.ts"
import * as Template from "../tasks/Template.ts"
import type { Row } from "../tasks/Template.ts"
import type { Request } from "./Request.ts"

export interface Item {
  /** Index of the document in its split. */
  readonly id: number
  readonly row: Row
  readonly target: Target
  readonly choices: ReadonlyArray<string>
  /** Indices of the right choices; none for a task without choices. */
  readonly golds: ReadonlyArray<number>
  /** Characters of description and shots, with which the contexts begin. */
  readonly preface: number
  readonly requests: ReadonlyArray<Request>
}

/** Two texts with a delimiter between them, unless there is whitespace already. */
const joined = (left: string, delimiter: string, right: string): string =>
  left + (PythonText.endsInSpace(left) || PythonText.beginsWithSpace(right) ? "" : delimiter) + right

const withPrefix = ({ genPrefix, targetDelimiter }: Readers, text: string): string =>
  genPrefix === "" ? text : joined(text, targetDelimiter, genPrefix)

const textOf = (value: string | number, choices: ReadonlyArray<string> | undefined): string =>
  typeof value === "number" ? (choices?.[value] ?? String(value)) : value

/** The answer of a shot, as text. */
const answerOf = (target: Target, choices: ReadonlyArray<string> | undefined): string => {
  const first = Array.isArray(target) ? (target[0] ?? "") : (target as number | string)
  return typeof first === "number" ? (choices?.[first] ?? String(first)) : first
}

/** One shot: its text, its answer, and what separates it from the next. */
const shot = Effect.fnUntraced(function* (readers: Readers, row: Row) {
  const choices = readers.choices === undefined ? undefined : yield* readers.choices(row)
  const text = textOf(yield* readers.text(row), choices)
  const answer = answerOf(yield* readers.target(row), choices)
  const { fewshotDelimiter, genPrefix, targetDelimiter } = readers
  const answered =
    genPrefix === ""
      ? text + (answer === "" ? "" : targetDelimiter + answer)
      : joined(withPrefix(readers, text), targetDelimiter, answer)
  return answered + fewshotDelimiter
})

/** Indices of the right choices. */
const goldsOf = (
  file: string,
  id: number,
  target: Target,
  choices: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<number>, TaskError> => {
  const all = Array.isArray(target) ? (target as ReadonlyArray<number | string>) : [target as number | string]
  const indices = all.map((gold) => (typeof gold === "number" ? gold : choices.indexOf(gold)))
  const wrong = indices.findIndex((gold) => !Number.isInteger(gold) || gold < 0 || gold >= choices.length)
  if (indices.length > 0 && wrong < 0) return Effect.succeed(indices)
  const got = indices.length === 0 ? "no answer" : JSON.stringify(all[wrong])
  return Effect.fail(
    new TaskError({
      file,
      key: "doc_to_target",
      problem: `document ${id} has the gold answer ${got}; expected an index in 0…${choices.length - 1} or one of ${JSON.stringify(choices)}`,
    }),
  )
}

/** As many requests as texts are asked for; without a temperature they would all be the same one. */
const generationsOf = ({ generation, repeats }: Task, context: string): ReadonlyArray<Request> =>
  Array.from({ length: repeats }, (_, sample) =>
    generation.drawing?.temperature === undefined
      ? { _tag: "Generate", context, generation }
      : { _tag: "Generate", context, generation, sample },
  )

const requestsOf = (
  task: Task,
  before: string,
  text: string | number,
  target: Target,
  choices: ReadonlyArray<string>,
): ReadonlyArray<Request> => {
  const { readers } = task
  const context = before + withPrefix(readers, textOf(text, choices))
  const pair = (context: string, continuation: string): Request => ({
    _tag: "LogLikelihood",
    context,
    continuation,
  })
  switch (task.outputType) {
    case "loglikelihood":
      return [pair(context, readers.targetDelimiter + answerOf(target, choices))]
    case "loglikelihood_rolling":
      return [{ _tag: "Rolling", text: answerOf(target, choices) }]
    case "generate_until":
      return generationsOf(task, context)
    case "multiple_choice": {
      // Where the text is an index, the choices are contexts and the target is what follows them.
      if (typeof text === "number") {
        const rest = readers.targetDelimiter + answerOf(target, undefined)
        return choices.map((choice) => pair(before + choice, rest))
      }
      const continuations = choices.map((choice) => readers.targetDelimiter + choice)
      const conditional = continuations.map((continuation) => pair(context, continuation))
      return task.metrics.some(({ name }) => name === "acc_mutual_info")
        ? [...conditional, ...continuations.map((continuation) => pair("", continuation))]
        : conditional
    }
  }
}

/** An item from a document and its shots. */
export const make = Effect.fnUntraced(function* (
  task: Task,
  id: number,
  row: Row,
  shots: ReadonlyArray<Row>,
): Effect.fn.Return<Item, TaskError> {
  const { readers } = task
  const description = Template.text(yield* task.description(row))
  const examples = yield* Effect.forEach(shots, (example) => shot(task.shots, example))
  const choices = readers.choices === undefined ? [] : yield* readers.choices(row)
  const text = yield* readers.text(row)
  const target = yield* readers.target(row)
  const chosen = task.outputType === "multiple_choice"
  const golds = chosen ? yield* goldsOf(task.file, id, typeof text === "number" ? text : target, choices) : []
  const preface = description + examples.join("")
  const requests = requestsOf(task, preface, text, target, choices)
  const empty = requests.findIndex(
    (request) => request._tag === "LogLikelihood" && request.continuation === "",
  )
  if (empty >= 0) {
    return yield* new TaskError({
      file: task.file,
      key: "doc_to_target",
      problem: `document ${id} has an empty continuation; a model cannot be asked for nothing`,
    })
  }
  return { id, row, target, choices, golds, preface: preface.length, requests }
})
