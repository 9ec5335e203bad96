/**
 * Items: a task's documents with their prompts and the requests they make.
 *
 * The prompt is the description, the shots, the document's text and the prefix of generations, or a conversation of
 * them. Whether an item's gold answer fits its choices is checked here, before a model is asked anything.
 */
import type { ModelError } from "@hila/model"
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as PythonText from "../metrics/PythonText.ts"
import type { Target } from "../tasks/Fields.ts"
import type { Readers, Task } from "../tasks/Task.ts"
import * as Template from "../tasks/Template.ts"
import type { Row } from "../tasks/Template.ts"
import * as Prompting from "./Prompting.ts"
import type { Request } from "./Request.ts"

export interface Item {
  /** Index of the document in its split. */
  readonly id: number
  readonly row: Row
  readonly target: Target
  readonly choices: ReadonlyArray<string>
  /** Indices of the right choices; none for a task without choices. */
  readonly golds: ReadonlyArray<number>
  /** Characters of instruction, description and shots, with which the contexts begin. */
  readonly preface: number
  readonly requests: ReadonlyArray<Request>
}

/** Two texts with a delimiter between them, unless there is whitespace already. */
const joined = (left: string, delimiter: string, right: string): string =>
  left + (PythonText.endsInSpace(left) || PythonText.beginsWithSpace(right) ? "" : delimiter) + right

const textOf = (value: string | number, choices: ReadonlyArray<string> | undefined): string =>
  typeof value === "number" ? (choices?.[value] ?? String(value)) : value

/** The answer of a shot, as text. */
const answerOf = (target: Target, choices: ReadonlyArray<string> | undefined): string => {
  const first = Array.isArray(target) ? (target[0] ?? "") : (target as number | string)
  return typeof first === "number" ? (choices?.[first] ?? String(first)) : first
}

/** One shot: its question and answer as turns, and as one text with what separates it from the next. */
const shot = Effect.fnUntraced(function* (readers: Readers, row: Row) {
  const choices = readers.choices === undefined ? undefined : yield* readers.choices(row)
  const question = textOf(yield* readers.text(row), choices)
  const target = answerOf(yield* readers.target(row), choices)
  const { fewshotDelimiter, targetDelimiter } = readers
  const genPrefix = yield* readers.genPrefix(row)
  const answer = genPrefix === "" ? target : joined(genPrefix, targetDelimiter, target)
  const answered =
    genPrefix === ""
      ? question + (answer === "" ? "" : targetDelimiter + answer)
      : joined(question, targetDelimiter, answer)
  return { question, answer, text: answered + fewshotDelimiter }
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

/** Makes a context of a document's text. */
type Contexts = (text: string) => Effect.Effect<string, ModelError>

const requestsOf = Effect.fnUntraced(function* (
  task: Task,
  contextOf: Contexts,
  /** Between a context and what follows it. */
  delimiter: string,
  text: string | number,
  target: Target,
  choices: ReadonlyArray<string>,
): Effect.fn.Return<ReadonlyArray<Request>, ModelError> {
  const pair = (context: string, continuation: string): Request => ({
    _tag: "LogLikelihood",
    context,
    continuation,
  })
  switch (task.outputType) {
    case "loglikelihood":
      return [pair(yield* contextOf(textOf(text, choices)), delimiter + answerOf(target, choices))]
    case "loglikelihood_rolling":
      return [{ _tag: "Rolling", text: answerOf(target, choices) }]
    case "generate_until":
      return generationsOf(task, yield* contextOf(textOf(text, choices)))
    case "multiple_choice": {
      // Where the text is an index, the choices are contexts and the target is what follows them.
      if (typeof text === "number") {
        const rest = delimiter + answerOf(target, undefined)
        const contexts = yield* Effect.forEach(choices, contextOf)
        return contexts.map((context) => pair(context, rest))
      }
      const continuations = choices.map((choice) => delimiter + choice)
      const context = yield* contextOf(text)
      const conditional = continuations.map((continuation) => pair(context, continuation))
      return task.metrics.some(({ name }) => name === "acc_mutual_info")
        ? [...conditional, ...continuations.map((continuation) => pair("", continuation))]
        : conditional
    }
  }
})

/** An item from a document and its shots. */
export const make = Effect.fnUntraced(function* (
  task: Task,
  id: number,
  row: Row,
  shots: ReadonlyArray<Row>,
  prompting: Prompting.Prompting = {},
): Effect.fn.Return<Item, TaskError | ModelError> {
  const { readers } = task
  const description = Template.text(yield* task.description(row))
  const before = Prompting.preamble(prompting, description, task.shots.fewshotDelimiter)
  const examples = yield* Effect.forEach(shots, (example) => shot(task.shots, example))
  const choices = readers.choices === undefined ? [] : yield* readers.choices(row)
  const text = yield* readers.text(row)
  const target = yield* readers.target(row)
  const genPrefix = yield* readers.genPrefix(row)
  const chosen = task.outputType === "multiple_choice"
  const golds = chosen ? yield* goldsOf(task.file, id, typeof text === "number" ? text : target, choices) : []
  const { chat, multiturn = false } = prompting
  const shown = examples.map((example) => example.text).join("")
  const contextOf: Contexts =
    chat === undefined
      ? (own) =>
          Effect.succeed(
            before + shown + (genPrefix === "" ? own : joined(own, readers.targetDelimiter, genPrefix)),
          )
      : (own) =>
          Prompting.converse(chat, {
            preamble: before,
            turns: multiturn ? examples : [],
            shots: multiturn ? "" : shown,
            text: own,
            genPrefix,
          })
  // A turn of the assistant begins with the answer itself.
  const delimiter = chat === undefined ? readers.targetDelimiter : ""
  const requests = yield* requestsOf(task, contextOf, delimiter, text, target, choices)
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
  const [first] = requests
  const context = first === undefined || first._tag === "Rolling" ? "" : first.context
  const own = typeof text === "number" ? (choices[0] ?? "") : text
  const preface = chat === undefined ? before.length + shown.length : Math.max(0, context.lastIndexOf(own))
  return { id, row, target, choices, golds, preface, requests }
})
