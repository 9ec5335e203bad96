/**
 * Accuracy by generation: greedy answers compared with the known ones by exact match.
 *
 * An output is what the model writes up to the first stop string, trimmed; it is right if it equals the answer
 * character by character. No partial credit, no likelihoods.
 */
import { Artifact } from "@hila/core"
import { at } from "@hila/core/Lookup"
import type { CausalModel, Question } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { EvalError } from "./EvalError.ts"

/** One question with the model's output. */
export const Item = Schema.Struct({
  domain: Schema.String,
  prompt: Schema.String,
  answer: Schema.String,
  output: Schema.String,
  correct: Schema.Boolean,
})
export type Item = typeof Item.Type

/** A model's share of right answers, per domain and item by item. */
export const Accuracy = Schema.Struct({
  domains: Schema.Array(
    Schema.Struct({
      domain: Schema.String,
      /** Questions asked. */
      n: Schema.Int,
      /** Questions answered right. */
      correct: Schema.Int,
      /** correct / n, 0…1. */
      accuracy: Schema.Finite,
    }),
  ),
  items: Schema.Array(Item),
})
export type Accuracy = typeof Accuracy.Type

/** One line: `math 187/200, code 189/200`. */
export const summary = ({ domains }: Accuracy): string =>
  domains.map(({ correct, domain, n }) => `${domain} ${correct}/${n}`).join(", ")

/** Accuracies in the store, with every item. */
export const artifact: Artifact.Artifact<Accuracy> = Artifact.json("accuracy", Accuracy, { summary })

/** How answers are generated. */
export interface Options {
  /** Longest output, in tokens. */
  readonly maxTokens: number
  /** Strings that end an output, beside the end-of-sequence token. */
  readonly stop: ReadonlyArray<string>
}

/** Questions that go through the model together, and are checkpointed together. */
export const batchSize = 32

/** The output of a response: its text up to the first stop string, trimmed. */
export const outputOf = (response: string, stop: ReadonlyArray<string>): string =>
  stop.reduce((text, string) => at(text.split(string, 1), 0), response).trim()

/** Asks a model one batch of questions: an item for each, in order. */
export const ask = Effect.fn("Accuracy.ask")(function* (
  model: CausalModel.CausalModel,
  questions: ReadonlyArray<Question.Question>,
  { maxTokens, stop }: Options,
) {
  const generations = yield* model.generate(
    questions.map((question) => question.prompt),
    { maxTokens, stop },
  )
  return questions.map(({ answer, domain, prompt }, index): Item => {
    const output = outputOf(at(generations, index).response, stop)
    return { domain, prompt, answer, output, correct: output === answer.trim() }
  })
})

/** Counts items domain by domain, in the order in which domains first appear; no items are an error. */
export const ofItems = Effect.fn("Accuracy.ofItems")(function* (items: ReadonlyArray<Item>) {
  if (items.length === 0) {
    return yield* new EvalError({
      subject: "accuracy",
      problem: "no questions were given; give at least one",
    })
  }
  const domains = [...Map.groupBy(items, (item) => item.domain)].map(([domain, own]) => {
    const correct = own.filter((item) => item.correct).length
    return { domain, n: own.length, correct, accuracy: correct / own.length }
  })
  return { domains, items } satisfies Accuracy
})

/** Cuts questions into batches of at most `batchSize`, each with the index of its first question. */
export const batches = (
  questions: ReadonlyArray<Question.Question>,
): ReadonlyArray<{ readonly start: number; readonly questions: ReadonlyArray<Question.Question> }> =>
  Array.from({ length: Math.ceil(questions.length / batchSize) }, (_, index) => ({
    start: index * batchSize,
    questions: questions.slice(index * batchSize, (index + 1) * batchSize),
  }))

/** A model's accuracy on questions of any number of domains. */
export const measure = Effect.fn("Accuracy.measure")(function* (
  model: CausalModel.CausalModel,
  questions: ReadonlyArray<Question.Question>,
  options: Options,
) {
  const items = yield* Effect.forEach(batches(questions), (batch) => ask(model, batch.questions, options))
  return yield* ofItems(items.flat())
})
