/**
 * The text of a response: when it is complete, where it ends, and which part of it is certain while it grows.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Continuation, End } from "./Generation.ts"
import type { ModelError } from "../ModelError.ts"
import type { Tokenizer } from "../text/Tokenizer.ts"

/** For each response, its tokens so far, whether it is complete by its text. */
export type StopTest = (
  responses: ReadonlyArray<ReadonlyArray<number>>,
) => Effect.Effect<ReadonlyArray<boolean>, ModelError>

/** Of decoding without stop strings. */
export const never: StopTest = (responses) => Effect.succeed(responses.map(() => false))

/**
 * A test for stop strings that decodes only the end of a response: as many tokens as the longest stop string has
 * bytes (a token is at least one), and a few more for tokens without text. A stop string may be a special token, so
 * these are looked at with and without.
 */
export const stopTest = (tokenizer: Tokenizer, stop: ReadonlyArray<string>): StopTest => {
  if (stop.length === 0) return never
  const window = Math.max(...stop.map((s) => new TextEncoder().encode(s).length)) + 8
  return Effect.fnUntraced(function* (responses) {
    const ends = responses.map((response) => response.slice(-window))
    const [written, plain] = yield* Effect.all(
      [tokenizer.decodeAll(ends), tokenizer.decodeAll(ends, { skipSpecial: true })],
      { concurrency: "unbounded" },
    )
    return written.map((text, i) => stop.some((s) => text.includes(s) || at(plain, i).includes(s)))
  })
}

/** The text of a response, cut after the first stop string where one ended it. */
const cut = (text: string, end: End, stop: ReadonlyArray<string>): string => {
  if (end !== "stop") return text
  const ends = stop.flatMap((s) => (text.includes(s) ? [text.indexOf(s) + s.length] : []))
  return text.slice(0, Math.min(text.length, ...ends))
}

/** The response texts of continuations without special tokens, each cut after the first stop string. */
export const responseTexts = (
  tokenizer: Tokenizer,
  continuations: ReadonlyArray<Pick<Continuation, "end" | "tokens">>,
  stop: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<string>, ModelError> =>
  Effect.map(
    tokenizer.decodeAll(
      continuations.map(({ tokens }) => tokens),
      { skipSpecial: true },
    ),
    (texts) => texts.map((text, i) => cut(text, at(continuations, i).end, stop)),
  )

/**
 * Gives the text that each new token adds. The bytes of a character that is not whole yet wait for the rest of it, so
 * all pieces together are the response's text.
 */
export const pieces = (
  tokenizer: Tokenizer,
  stop: ReadonlyArray<string>,
): ((tokens: ReadonlyArray<number>, end: End | undefined) => Effect.Effect<string, ModelError>) => {
  let given = 0
  return (tokens, end) =>
    Effect.map(responseTexts(tokenizer, [{ tokens, end: end ?? "length" }], stop), (texts) => {
      const text = at(texts, 0)
      const certain = end === undefined ? text.replace(/\uFFFD+$/, "") : text
      const piece = certain.slice(given)
      given = Math.max(given, certain.length)
      return piece
    })
}
