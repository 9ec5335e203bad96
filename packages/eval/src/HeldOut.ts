/**
 * Held-out material of a domain: documents, and choices by label or continuation; and what a model makes of it.
 *
 * Bits per byte is the honest signal for small models: it needs no answer to be right, and its unit does not depend on
 * the tokenizer. Choices are judged by log-likelihood. Every figure is kept per document and per item, so that two models
 * can be compared on the same ones (`Paired`).
 */
import { Artifact } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { type CausalModel, Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { EvalError } from "./EvalError.ts"
import * as Answering from "./requests/Answering.ts"
import * as Encoding from "./requests/Encoding.ts"

/** A context with its possible continuations. */
export const Choice = Schema.Struct({
  context: Schema.String,
  choices: Schema.Array(Schema.String),
  /** Index of the right one. */
  gold: Schema.Int,
})
export type Choice = typeof Choice.Type

/** The material of one domain; what a domain has none of is empty or left out. */
export const HeldOut = Schema.Struct({
  documents: Schema.Array(Schema.String),
  label: Schema.optionalKey(Schema.Array(Choice)),
  continuation: Schema.optionalKey(Schema.Array(Choice)),
})
export type HeldOut = typeof HeldOut.Type

/** The material as a JSON file. */
export const artifact: Artifact.Artifact<HeldOut> = Artifact.json("held-out", HeldOut, {
  summary: ({ continuation = [], documents, label = [] }) =>
    `${documents.length} documents, ${label.length} labels, ${continuation.length} continuations`,
})

/** How many documents and items of each kind are used, from the first on, and how much of a document. */
export interface Selection {
  readonly documents?: number
  /** Tokens of each document; all of it unless given. */
  readonly maxTokens?: number
  readonly items?: number
}

/** A document's fit. */
export const DocumentFit = Schema.Struct({
  /** −log₂ p over its bytes, conditioned on the beginning of a sequence. */
  bitsPerByte: Schema.Finite,
  bytes: Schema.Int,
})
export type DocumentFit = typeof DocumentFit.Type

const utf8 = new TextEncoder()

/** What is read of each document: its first tokens, and the bytes they stand for. */
const cut = Effect.fnUntraced(function* (
  { tokenizer }: Encoding.Vocabulary,
  documents: ReadonlyArray<string>,
  maxTokens: number | undefined,
) {
  const whole = yield* tokenizer.encodeAll(documents, { addSpecial: false })
  const rows = whole.map((tokens) => tokens.slice(0, maxTokens))
  const texts = yield* tokenizer.decodeAll(rows)
  return rows.map((tokens, i) => {
    const text = tokens.length === at(whole, i).length ? at(documents, i) : at(texts, i)
    return { tokens, bytes: utf8.encode(text).length }
  })
})

/** Bits per byte of documents, each on its own; longer ones than the model reads at once go in disjoint windows. */
export const documents = Effect.fn("HeldOut.documents")(function* (
  model: CausalModel.CausalModel,
  texts: ReadonlyArray<string>,
  { maxTokens }: { readonly maxTokens?: number } = {},
) {
  const { vocabulary } = yield* Answering.respondent(model, "")
  const read = yield* cut(vocabulary, texts, maxTokens)
  const empty = read.findIndex(({ bytes }) => bytes === 0)
  if (empty >= 0) {
    return yield* new EvalError({
      subject: "bits per byte",
      problem: `document ${empty} is empty, so that it has no bytes; leave it out`,
    })
  }
  const windows = read.map(({ tokens }) => Encoding.windowsOf(vocabulary, tokens))
  const scored = yield* model.logLikelihoods(windows.flat())
  let done = 0
  return read.map(({ bytes }, i): DocumentFit => {
    const own = scored.slice(done, (done += at(windows, i).length))
    const sum = own.reduce((total, window) => total + window.sum, 0)
    return { bitsPerByte: -sum / (Math.LN2 * bytes), bytes }
  })
})

/** Whether an item was answered rightly, by log-likelihood and by log-likelihood per character (code point). */
export const ItemFit = Schema.Struct({
  right: Schema.Literals([0, 1]),
  rightPerCharacter: Schema.Literals([0, 1]),
})
export type ItemFit = typeof ItemFit.Type

const first = (values: ReadonlyArray<number>): number => values.indexOf(Math.max(...values))

/** Whether choices are answered rightly; the context and a continuation are encoded together. */
export const choices = Effect.fn("HeldOut.choices")(function* (
  model: CausalModel.CausalModel,
  items: ReadonlyArray<Choice>,
) {
  const { vocabulary } = yield* Answering.respondent(model, "")
  const wrong = items.findIndex(
    ({ choices: own, gold }) => own[gold] === undefined || own.some((choice) => choice === ""),
  )
  if (wrong >= 0) {
    return yield* new EvalError({
      subject: "choices",
      problem: `item ${wrong} has ${items[wrong]?.choices.length} choices and the gold index ${items[wrong]?.gold}; expected texts that are not empty, and the index of one`,
    })
  }
  const pairs = items.flatMap(({ choices: own, context }) =>
    own.map((continuation) => ({ context, continuation })),
  )
  const scored = yield* model.logLikelihoods(yield* Encoding.continued(vocabulary, pairs))
  let done = 0
  return items.map(({ choices: own, gold }): ItemFit => {
    const sums = scored.slice(done, (done += own.length)).map(({ sum }) => sum)
    const perCharacter = sums.map((sum, i) => sum / [...at(own, i)].length)
    return { right: first(sums) === gold ? 1 : 0, rightPerCharacter: first(perCharacter) === gold ? 1 : 0 }
  })
})

/** A model's fit to a domain's held-out material. */
export const Fit = Schema.Struct({
  domain: Schema.String,
  documents: Schema.Array(DocumentFit),
  label: Schema.Array(ItemFit),
  continuation: Schema.Array(ItemFit),
})
export type Fit = typeof Fit.Type

const stated = (values: ReadonlyArray<number>): string =>
  `${Statistics.mean(values).toFixed(3)} ± ${Statistics.standardError(values).toFixed(3)}`

/** Bits per byte of all documents together: the sum of their bits over the sum of their bytes. */
export const bitsPerByte = (documents: ReadonlyArray<DocumentFit>): number =>
  documents.reduce((sum, fit) => sum + fit.bitsPerByte * fit.bytes, 0) /
  documents.reduce((sum, { bytes }) => sum + bytes, 0)

/** One line: `med 1.617 bits per byte, label 0.230 ± 0.034 right per character`. */
export const summary = (fit: Fit): string => {
  const choices = (["label", "continuation"] as const).flatMap((kind) =>
    fit[kind].length === 0
      ? []
      : [
          `${kind} ${stated(fit[kind].map(({ rightPerCharacter }) => rightPerCharacter))} right per character`,
        ],
  )
  const bits = fit.documents.length === 0 ? [] : [`${bitsPerByte(fit.documents).toFixed(3)} bits per byte`]
  return `${fit.domain} ${[...bits, ...choices].join(", ")}`
}

/** A fit in the store, with every document's and item's figures. */
export const fitArtifact: Artifact.Artifact<Fit> = Artifact.json("held-out-fit", Fit, { summary })
