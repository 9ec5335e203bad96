/**
 * Items: a task's documents with their prompts and the requests they make.
 *
 * The prompt is the description, the shots, the document's text and the prefix of generations, or a conversation of
 * them. Whether an item's gold answer fits its choices is checked here, before a model is asked anything.
 */
import { atOr } from "@hila/core/Lookup"
import type { ModelError } from "@hila/model"
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import * as PythonText from "../metrics/PythonText.ts"
import type { Target } from "../tasks/Fields.ts"
import * as Fields from "../tasks/Fields.ts"
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
  /** Whether the chat template refused the system turn, so that the document is asked without it. */
  readonly withoutSystem?: true
}

const textOf = (value: string | number, choices: ReadonlyArray<string> | undefined): string =>
  typeof value === "number" ? (choices?.[value] ?? String(value)) : value

/** The answer of a shot, as text. */
const answerOf = (target: Target, choices: ReadonlyArray<string> | undefined): string => {
  const [first = ""] = Fields.golds(target)
  const index = Fields.indexOf(first)
  return index === undefined ? String(first) : (choices?.[index] ?? String(first))
}

/** One shot as turns. */
const shot = Effect.fnUntraced(function* (readers: Readers, row: Row) {
  const choices = readers.choices === undefined ? undefined : yield* readers.choices(row)
  const { fewshotDelimiter, targetDelimiter } = readers
  return Prompting.turns({
    question: textOf(yield* readers.text(row), choices),
    answer: answerOf(yield* readers.target(row), choices),
    genPrefix: yield* readers.genPrefix(row),
    targetDelimiter,
    fewshotDelimiter,
  })
})

/** Indices of the right choices. */
const goldsOf = (
  file: string,
  id: number,
  target: Target,
  choices: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<number>, TaskError> => {
  const all = Fields.golds(target)
  const indices = all.map((gold) => Fields.indexOf(gold) ?? choices.indexOf(String(gold)))
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
  /** Between a context and a choice. */
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
      // The harness sets no delimiter here: such tasks have it in their target.
      return [pair(yield* contextOf(textOf(text, choices)), answerOf(target, choices))]
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
  const system = Prompting.preamble(prompting, description, task.shots.fewshotDelimiter)
  const examples = (yield* Effect.forEach(shots, (example) => shot(task.shots, example))).flat()
  const choices = readers.choices === undefined ? [] : yield* readers.choices(row)
  const text = yield* readers.text(row)
  const target = yield* readers.target(row)
  const genPrefix = yield* readers.genPrefix(row)
  const chosen = task.outputType === "multiple_choice"
  const golds = chosen ? yield* goldsOf(task.file, id, typeof text === "number" ? text : target, choices) : []
  const { chat, multiturn = false } = prompting
  // Where choices are contexts, the harness sets no delimiter before a prefix.
  const targetDelimiter = chosen && typeof text === "number" ? "" : readers.targetDelimiter
  let withoutSystem = false as boolean
  const contextOf: Contexts = (question) => {
    const asked = Prompting.turns({ question, genPrefix, targetDelimiter, fewshotDelimiter: "" })
    const messages = [...system, ...examples, ...asked]
    if (chat === undefined) return Effect.succeed(Prompting.plain(messages))
    return Effect.map(Prompting.converse(chat, messages, multiturn), (said) => {
      withoutSystem ||= said.withoutSystem
      return said.text
    })
  }
  // A turn of the assistant begins with the answer itself, unless it goes on from a prefix.
  const prefixed = task.config.gen_prefix ?? ""
  const delimiter =
    chat === undefined || (prefixed !== "" && !PythonText.endsInSpace(prefixed))
      ? readers.targetDelimiter
      : ""
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
  const own = typeof text === "number" ? atOr(choices, 0, "") : text
  const shown = Prompting.plain([...system, ...examples])
  const preface = chat === undefined ? shown.length : Math.max(0, context.lastIndexOf(own))
  return { id, row, target, choices, golds, preface, requests, ...(withoutSystem ? { withoutSystem } : {}) }
})
