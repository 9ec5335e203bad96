/**
 * Requests as tokens: where a continuation begins, what goes before an empty context, what is cut when it is too long.
 *
 * A context and its continuation are encoded as one text and then split, since encoding them apart can give other
 * tokens at the seam. Whitespace at the end of a context belongs to the continuation. Special tokens are the
 * tokenizer's own affair, except that an empty context becomes the beginning-of-sequence token, and that a context which
 * begins with that token as text, as chat templates write it, gets no others.
 */
import type { Tokenizer } from "@hila/model"
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

/** Whether the tokenizer adds its special tokens to a context: not if a template has written them. */
const addSpecial = ({ prefix, tokenizer }: Vocabulary, context: string): boolean => {
  const beginning = tokenizer.decode([prefix])
  return beginning === "" || !context.startsWith(beginning)
}

/** A context with a continuation; the continuation must not be empty. */
export const continued = (vocabulary: Vocabulary, context: string, continuation: string): Continued => {
  const { maxLength, prefix, tokenizer } = vocabulary
  if (context === "") {
    const own = tokenizer.encode(continuation, { addSpecial: false })
    return cut(own[0] === prefix && own.length > 1 ? own : [prefix, ...own], 1, maxLength)
  }
  const [before, space] = PythonText.splitEnd(context)
  const special = { addSpecial: addSpecial(vocabulary, context) }
  const whole = tokenizer.encode(before + space + continuation, special)
  const contextLength = tokenizer.encode(before, special).length
  // A tokenizer without special tokens gives nothing for a context of whitespace.
  return contextLength === 0
    ? cut([prefix, ...whole], 1, maxLength)
    : cut(whole, Math.min(contextLength, whole.length - 1), maxLength)
}

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

/** A text in such windows, with the special tokens that its tokenizer adds. */
export const windows = (vocabulary: Vocabulary, text: string): ReadonlyArray<Continued> =>
  windowsOf(vocabulary, vocabulary.tokenizer.encode(text))

/** A prompt with room for `maxTokens` more: its end, if it is too long. */
export const prompt = (vocabulary: Vocabulary, context: string, maxTokens: number): ReadonlyArray<number> =>
  vocabulary.tokenizer
    .encode(context, { addSpecial: addSpecial(vocabulary, context) })
    .slice(-Math.max(1, vocabulary.maxLength - maxTokens))
