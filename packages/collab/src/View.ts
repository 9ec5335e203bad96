/**
 * What an expert sees of a text: at most so many of its tokens, from its start or its end.
 */
import * as Schema from "effect/Schema"

export const View = Schema.Struct({
  from: Schema.Literals(["start", "end"]),
  /** Tokens at most, those the tokenizer adds included; at least 3. */
  tokens: Schema.Int.check(Schema.isGreaterThanOrEqualTo(3)),
})
export type View = typeof View.Type

/**
 * The tokens of a text that are in view; `framed` keeps the first and the last token, which an encoder's tokenizer
 * adds, whatever is cut.
 */
export const of =
  ({ from, tokens: limit }: View, framed = true) =>
  (tokens: ReadonlyArray<number>): ReadonlyArray<number> => {
    if (tokens.length <= limit) return tokens
    if (!framed) return from === "start" ? tokens.slice(0, limit) : tokens.slice(-limit)
    return from === "start"
      ? [...tokens.slice(0, limit - 1), ...tokens.slice(-1)]
      : [...tokens.slice(0, 1), ...tokens.slice(1 - limit)]
  }
