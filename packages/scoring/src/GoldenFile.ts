/**
 * Golden data from a file: one JSON line per example, as `Example` has it or with texts alone.
 *
 * Lines with tokens are taken as they are. Lines with a prompt and a response are tokenised together by the expert's
 * own tokenizer, so that a token across the boundary is one token, as the model would see it.
 */
import { Artifact } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { type Example, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ScoringError } from "./ScoringError.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** One line: both texts, and their tokens where they are known. */
export const Line = Schema.Struct({
  prompt: Schema.String,
  response: Schema.NonEmptyString,
  tokens: Schema.optionalKey(Schema.Array(Count)),
  promptLength: Schema.optionalKey(Count),
})
export type Line = typeof Line.Type

/** The lines of a file; a line that lacks its response is refused by number. */
export const artifact: Artifact.Artifact<ReadonlyArray<Line>> = Artifact.jsonl("golden-lines", Line)

/** Lines as examples; `tokenizer` is used for those without tokens. */
export const examples = Effect.fn("GoldenFile.examples")(function* <E>(
  lines: ReadonlyArray<Line>,
  tokenizer: Effect.Effect<Tokenizer.Tokenizer, E>,
) {
  const found: Array<Example.Example> = []
  for (const [index, { prompt, promptLength, response, tokens }] of lines.entries()) {
    const example =
      tokens !== undefined && promptLength !== undefined
        ? { prompt, response, tokens, promptLength }
        : yield* ofTexts(prompt, response, yield* tokenizer)
    if (example.promptLength >= example.tokens.length) {
      return yield* new ScoringError({
        subject: "golden data",
        problem: `example ${index + 1}: no token of the response is left after the prompt's ${example.promptLength}; its loss has nothing to be over`,
      })
    }
    found.push(example)
  }
  return found
})

/** How many tokens two rows begin with alike. */
const alike = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const first = a.findIndex((token, i) => token !== b[i])
  return first < 0 ? a.length : first
}

/** A prompt and its response as one text; a token that holds anything of the response belongs to the response. */
const ofTexts = Effect.fnUntraced(function* (
  prompt: string,
  response: string,
  tokenizer: Tokenizer.Tokenizer,
) {
  const addSpecial = !(yield* Tokenizer.beginsWithSpecial(tokenizer, prompt))
  const encoded = yield* tokenizer.encodeAll([prompt + response, prompt], { addSpecial })
  const tokens = at(encoded, 0)
  return { prompt, response, tokens, promptLength: alike(at(encoded, 1), tokens) } satisfies Example.Example
})
