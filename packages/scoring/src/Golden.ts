/**
 * Golden data: questions put to an expert, and its own answers kept as examples.
 *
 * An answer is kept if it ended, by end-of-sequence token or stop string (either stays in the response, and so in
 * its loss), if a verifier, where one is given, accepts it, and if the same example is not there already. A golden set
 * is an array of examples that also carries the report of how it came about, so that every place that takes examples
 * takes it.
 */
import { Artifact } from "@hila/core"
import {
  type CausalModel,
  ChatTemplate,
  Example,
  type GenerateOptions,
  type Generation,
  type Question,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ScoringError } from "./ScoringError.ts"
import type * as Verifier from "./Verifier.ts"

/** How a golden set came about; asked = kept + unended + rejected + duplicates + surplus. */
export const Report = Schema.Struct({
  /** Questions put to the expert. */
  asked: Schema.Int,
  /** Examples in the set. */
  kept: Schema.Int,
  /** Answers dropped because they ran into the token limit. */
  unended: Schema.Int,
  /** Answers dropped because the verifier rejected them. */
  rejected: Schema.Int,
  /** Answers dropped because the same prompt and response came before. */
  duplicates: Schema.Int,
  /** Good answers left out because the wanted number was reached. */
  surplus: Schema.Int,
  /** Response tokens of the kept examples: those the loss is over. */
  responseTokens: Schema.Int,
})
export type Report = typeof Report.Type

/** Examples that know how they were made. */
export type Golden = ReadonlyArray<Example.Example> & { readonly report: Report }

/** A golden set of examples and their report. */
export const make = (examples: ReadonlyArray<Example.Example>, report: Report): Golden =>
  Object.assign([...examples], { report })

/** One line: `62 of 64 answers kept (1 unended, 1 duplicate), 310 response tokens`. */
export const summary = ({ report }: Golden): string => {
  const dropped = [
    [report.unended, "unended"],
    [report.rejected, "rejected"],
    [report.duplicates, report.duplicates === 1 ? "duplicate" : "duplicates"],
    [report.surplus, "surplus"],
  ].flatMap(([number, reason]) => (number === 0 ? [] : [`${number} ${reason}`]))
  const why = dropped.length === 0 ? "" : ` (${dropped.join(", ")})`
  return `${report.kept} of ${report.asked} answers kept${why}, ${report.responseTokens} response tokens`
}

const stored = Artifact.json(
  "golden",
  Schema.Struct({ report: Report, examples: Schema.Array(Example.Example) }),
)

/** Golden sets in the store; the summary tells what was kept, what was dropped and why. */
export const artifact: Artifact.Artifact<Golden> = Artifact.make<Golden>({
  id: stored.id,
  kind: stored.kind,
  encode: (golden, path) => stored.encode({ report: golden.report, examples: golden }, path),
  decode: (content) => Effect.map(stored.decode(content), ({ examples, report }) => make(examples, report)),
  summary,
})

/** How answers are generated and which are kept. Greedy, unless a temperature is given. */
export interface Options extends Pick<GenerateOptions, "temperature" | "topK" | "topP"> {
  /** Longest response, in tokens; an answer that reaches it is dropped, unless `requireEnd` is false. */
  readonly maxTokens: number
  /** Strings that end an answer, beside the end-of-sequence token. */
  readonly stop?: ReadonlyArray<string>
  /** Keeps the first so many good answers; all of them by default. */
  readonly keep?: number
  /** Whether an answer has to have ended. Default: true; models of plain text seldom end within a few dozen tokens. */
  readonly requireEnd?: boolean
  /** Whether a prompt is a user's message in the checkpoint's own chat template. Default: false. */
  readonly chat?: boolean
  /** Seed of what is drawn where a temperature is given. */
  readonly seed?: number
}

/** Prompts that go through the expert together, and are checkpointed together. */
export const batchSize = 16

/** The expert's answers to one batch of questions, in order. */
export const answer = Effect.fn("Golden.answer")(function* (
  teacher: CausalModel.CausalModel,
  questions: ReadonlyArray<Question.Question>,
  { chat = false, keep: _keep, requireEnd: _requireEnd, ...options }: Options,
) {
  const prompts = questions.map((question) => question.prompt)
  if (!chat) return yield* teacher.generate(prompts, options)
  const template = yield* ChatTemplate.open(teacher.checkpoint)
  const rendered = yield* Effect.forEach(prompts, (content) => template.render([{ role: "user", content }]))
  // The template writes the special tokens itself.
  return yield* teacher.generate(rendered, { ...options, addSpecial: false })
})

/** Which answers are chosen, and how. */
export type Choice = Pick<Options, "keep" | "requireEnd">

/** Keeps the answers that ended, are accepted (by index) and are new; it is an error if none is left. */
export const select = Effect.fn("Golden.select")(function* (
  answers: ReadonlyArray<Generation>,
  { keep = Number.POSITIVE_INFINITY, requireEnd = true }: Choice,
  isAccepted: (index: number) => boolean = () => true,
) {
  const seen = new Set<string>()
  const kept: Array<Example.Example> = []
  const dropped = { unended: 0, rejected: 0, duplicates: 0, surplus: 0 }
  for (const [index, { end, prompt, promptLength, response, tokens }] of answers.entries()) {
    const identity = JSON.stringify([prompt, response])
    if (end === "length" && requireEnd) dropped.unended++
    else if (!isAccepted(index)) dropped.rejected++
    else if (seen.has(identity)) dropped.duplicates++
    else if (kept.length >= keep) dropped.surplus++
    else {
      seen.add(identity)
      kept.push({ prompt, response, tokens, promptLength })
    }
  }
  if (kept.length === 0) return yield* nothingKept(answers, dropped)
  const responseTokens = kept.reduce((sum, { promptLength, tokens }) => sum + tokens.length - promptLength, 0)
  return make(kept, { asked: answers.length, kept: kept.length, ...dropped, responseTokens })
})

const nothingKept = (
  answers: ReadonlyArray<Generation>,
  { rejected, unended }: { readonly rejected: number; readonly unended: number },
) => {
  // What did not end has as many tokens as it may have.
  const longest = Math.max(...answers.map(({ promptLength, tokens }) => tokens.length - promptLength))
  const why = [
    ...(unended === 0 ? [] : [`${unended} did not end within ${longest} tokens`]),
    ...(rejected === 0 ? [] : [`${rejected} were rejected by the verifier`]),
  ].join(", ")
  const cure = unended === 0 ? "check the verifier" : "raise maxTokens or check the stop string"
  return new ScoringError({
    subject: "golden data",
    problem:
      answers.length === 0
        ? "no questions were given; give at least one"
        : `none of ${answers.length} answers can be kept (${why}); ${cure}`,
  })
}

/** Judgements on answers: a verifier that looks at each, and verdicts that something else gave, in their order. */
export interface Judgement {
  readonly verify?: Verifier.Verifier | undefined
  readonly verdicts?: ReadonlyArray<ReadonlyArray<boolean>>
}

/** Selects the answers to questions that every judgement accepts; `questions` are in the order of the answers. */
export const choose = Effect.fnUntraced(function* (
  questions: ReadonlyArray<Question.Question>,
  answers: ReadonlyArray<Generation>,
  choice: Choice,
  { verdicts = [], verify }: Judgement,
) {
  const lengths = [questions, ...verdicts].map(({ length }) => length)
  if (lengths.some((length) => length !== answers.length)) {
    return yield* new ScoringError({
      subject: "golden data",
      problem: `expected ${answers.length} questions and verdicts, as many as answers, got ${lengths.join(", ")}; give those of the same questions`,
    })
  }
  return yield* select(answers, choice, (i) => {
    const [question, given] = [questions[i], answers[i]]
    if (question === undefined || given === undefined || verdicts.some((all) => all[i] !== true)) return false
    return verify === undefined || verify(question, given.response)
  })
})

/** Cuts a list into batches of at most `batchSize`, each with the index of its first element. */
export const batches = <A>(
  items: ReadonlyArray<A>,
): ReadonlyArray<{ start: number; items: ReadonlyArray<A> }> =>
  Array.from({ length: Math.ceil(items.length / batchSize) }, (_, index) => ({
    start: index * batchSize,
    items: items.slice(index * batchSize, (index + 1) * batchSize),
  }))

/** Golden data of an expert: its answers to the questions, those that ended, are accepted and are no duplicates. */
export const generate = Effect.fn("Golden.generate")(function* (
  teacher: CausalModel.CausalModel,
  questions: ReadonlyArray<Question.Question>,
  options: Options & { readonly verify?: Verifier.Verifier },
) {
  const { verify, ...rest } = options
  const answers = yield* Effect.forEach(batches(questions), ({ items }) => answer(teacher, items, rest))
  return yield* choose(questions, answers.flat(), rest, { verify })
})
