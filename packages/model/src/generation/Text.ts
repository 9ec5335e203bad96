/**
 * The text of a response: when it is complete, where it ends, and which part of it is certain while it grows.
 */
import type { Continuation, End } from "../Generation.ts"
import type { Tokenizer } from "../Tokenizer.ts"

/**
 * A test for stop strings that decodes only the end of a response: as many tokens as the longest stop string has
 * bytes (a token is at least one), and a few more for tokens without text.
 */
export const stopTest = (
  tokenizer: Tokenizer,
  stop: ReadonlyArray<string>,
): ((response: ReadonlyArray<number>) => boolean) => {
  if (stop.length === 0) return () => false
  const window = Math.max(...stop.map((s) => new TextEncoder().encode(s).length)) + 8
  return (response) => {
    const tail = tokenizer.decode(response.slice(-window), { skipSpecial: true })
    return stop.some((s) => tail.includes(s))
  }
}

/** The response text of a continuation, cut after the first stop string. */
export const responseText = (
  tokenizer: Tokenizer,
  { end, tokens }: Pick<Continuation, "end" | "tokens">,
  stop: ReadonlyArray<string>,
): string => {
  const text = tokenizer.decode(tokens, { skipSpecial: true })
  if (end !== "stop") return text
  const ends = stop.flatMap((s) => (text.includes(s) ? [text.indexOf(s) + s.length] : []))
  return text.slice(0, Math.min(text.length, ...ends))
}

/**
 * Gives the text that each new token adds. The bytes of a character that is not whole yet wait for the rest of it, so
 * all pieces together are the response's text.
 */
export const pieces = (
  tokenizer: Tokenizer,
  stop: ReadonlyArray<string>,
): ((tokens: ReadonlyArray<number>, end: End | undefined) => string) => {
  let given = 0
  return (tokens, end) => {
    const text = responseText(tokenizer, { tokens, end: end ?? "length" }, stop)
    const certain = end === undefined ? text.replace(/\uFFFD+$/, "") : text
    const piece = certain.slice(given)
    given = Math.max(given, certain.length)
    return piece
  }
}
