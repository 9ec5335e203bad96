/**
 * Requests as tokens: where a continuation begins, what goes before an empty context, what is cut when it is too long.
 *
 * A context and its continuation are encoded as one text, since encoding them apart can give other tokens at the seam;
 * the continuation is what comes behind as many tokens as the context has by itself, and the context keeps the tokens
 * that it has by itself, as in the harness. Whitespace at the end of a context belongs to the continuation. Special
 * tokens are the tokenizer's own affair, except that an empty context becomes the beginning-of-sequence token, and that a
 * context which begins with that token as text, as chat templates write it, gets no others.
 */
import { at } from "@hila/core/Lookup"
import type { ModelError, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import * as PythonText from "../metrics/PythonText.ts"

/** What tokens depend on, beside the text. */
export interface Vocabulary {
  readonly tokenizer: Tokenizer.Tokenizer
  /** The token before a text without context: beginning of sequence, else end. */
  readonly prefix: number
  /** Most tokens a model reads at once. */
  readonly maxLength: number
}

/** Tokens of a context and a continuation; the continuation is `tokens[contextLength..]`. */
export interface Continued {
  readonly tokens: ReadonlyArray<number>
  /** At least 1. */
  readonly contextLength: number
}

/** Keeps the end of a row: `maxLength` tokens to read and one that is only predicted. */
const cut = (tokens: ReadonlyArray<number>, contextLength: number, maxLength: number): Continued => {
  const excess = Math.max(0, tokens.length - maxLength - 1)
  return { tokens: tokens.slice(excess), contextLength: Math.max(1, contextLength - excess) }
}

/** Tokens of texts, each with the tokenizer's special tokens unless a template has written them. */
const withSpecial = Effect.fnUntraced(function* (
  { prefix, tokenizer }: Vocabulary,
  texts: ReadonlyArray<string>,
) {
  const beginning = yield* tokenizer.decode([prefix])
  const written = texts.map((text) => beginning !== "" && text.startsWith(beginning))
  const of = (special: boolean) =>
    tokenizer.encodeAll(
      texts.filter((_, i) => at(written, i) !== special),
      { addSpecial: special },
    )
  const [plain, special] = [(yield* of(false)).values(), (yield* of(true)).values()]
  return written.map((own) => (own ? plain : special).next().value ?? [])
})

/** A context with what is to follow it. */
export interface Pair {
  readonly context: string
  /** Not empty. */
  readonly continuation: string
}

/** Contexts with their continuations as tokens, in their order. */
export const continued = Effect.fnUntraced(function* (
  vocabulary: Vocabulary,
  pairs: ReadonlyArray<Pair>,
): Effect.fn.Return<ReadonlyArray<Continued>, ModelError> {
  const { maxLength, prefix, tokenizer } = vocabulary
  const split = pairs.map(({ context, continuation }) => {
    const [before, space] = PythonText.splitEnd(context)
    return { before, after: space + continuation, alone: context === "" }
  })
  const within = split.filter(({ alone }) => !alone)
  const alone = split.filter((pair) => pair.alone).map(({ after }) => after)
  const own = (yield* tokenizer.encodeAll(alone, { addSpecial: false })).values()
  const whole = (yield* withSpecial(
    vocabulary,
    within.map(({ after, before }) => before + after),
  )).values()
  const contexts = (yield* withSpecial(
    vocabulary,
    within.map(({ before }) => before),
  )).values()
  return split.map((pair) => {
    if (pair.alone) {
      const tokens = own.next().value ?? []
      return cut(tokens[0] === prefix && tokens.length > 1 ? tokens : [prefix, ...tokens], 1, maxLength)
    }
    const [both, context] = [whole.next().value ?? [], contexts.next().value ?? []]
    // A tokenizer without special tokens gives nothing for a context of whitespace.
    if (context.length === 0) return cut([prefix, ...both], 1, maxLength)
    const rest = both.slice(context.length)
    // Where joining leaves fewer tokens than the context has alone, the last one holds what is asked for.
    return rest.length > 0
      ? cut([...context, ...rest], context.length, maxLength)
      : cut(both.length > 1 ? both : [prefix, ...both], Math.max(1, both.length - 1), maxLength)
  })
})

/**
 * Tokens in windows that together predict each of them once. The first is conditioned on the prefix token, each later
 * one on as many tokens before it as fit.
 */
export const windowsOf = (
  { maxLength, prefix }: Omit<Vocabulary, "tokenizer">,
  tokens: ReadonlyArray<number>,
): ReadonlyArray<Continued> => {
  if (tokens.length === 0) return []
  const first = Math.min(maxLength, tokens.length)
  const rows: Array<Continued> = [{ tokens: [prefix, ...tokens.slice(0, first)], contextLength: 1 }]
  for (let done = first; done < tokens.length;) {
    const count = Math.min(maxLength, tokens.length - done)
    done += count
    const row = tokens.slice(Math.max(0, done - maxLength - 1), done)
    rows.push({ tokens: row, contextLength: row.length - count })
  }
  return rows
}

/** Texts in such windows, each with the special tokens that its tokenizer adds. */
export const windows = (
  vocabulary: Vocabulary,
  texts: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<ReadonlyArray<Continued>>, ModelError> =>
  Effect.map(vocabulary.tokenizer.encodeAll(texts), (rows) => rows.map((row) => windowsOf(vocabulary, row)))

/** Prompts with room for `maxTokens` more: the end of each that is too long. */
export const prompts = (
  vocabulary: Vocabulary,
  contexts: ReadonlyArray<string>,
  maxTokens: number,
): Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, ModelError> =>
  Effect.map(withSpecial(vocabulary, contexts), (rows) =>
    rows.map((row) => row.slice(-Math.max(1, vocabulary.maxLength - maxTokens))),
  )
