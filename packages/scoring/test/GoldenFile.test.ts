import { assert, describe, layer } from "@effect/vitest"
import { Checkpoint, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as GoldenFile from "../src/GoldenFile.ts"
import { checkpointPath, hasShared, oracle } from "./fixtures.ts"

const tokenizer = Effect.flatMap(Checkpoint.open(checkpointPath("math")), Tokenizer.open)

layer(Layer.empty)("GoldenFile", (it) => {
  it.effect("takes tokens as they are and makes those that are missing", () =>
    Effect.gen(function* () {
      const given = { prompt: "Q: 2+33\nA:", response: " 35\n", tokens: [1, 2, 3], promptLength: 2 }
      const [kept, made] = yield* GoldenFile.examples(
        [given, { prompt: given.prompt, response: given.response }],
        tokenizer,
      )
      assert.deepStrictEqual(kept, given)
      const { decode } = yield* tokenizer
      assert.strictEqual(yield* decode(made!.tokens, { skipSpecial: true }), given.prompt + given.response)
      assert.strictEqual(yield* decode(made!.tokens.slice(made!.promptLength)), given.response)
    }),
  )

  // The case golden-prompt-ending-in-space.
  it.effect(
    "counts every token that holds some of the response, and a beginning that is written only once",
    () =>
      Effect.gen(function* () {
        const [apart, begun] = yield* GoldenFile.examples(
          [
            { prompt: "Q: ", response: "reverse" },
            { prompt: "<s>Q: ", response: "reverse" },
          ],
          tokenizer,
        )
        const { decode, encode } = yield* tokenizer
        assert.lengthOf(yield* encode("Q: "), 4)
        assert.strictEqual(apart?.promptLength, 3)
        assert.strictEqual(yield* decode(apart!.tokens.slice(apart!.promptLength)), " reverse")
        assert.deepStrictEqual(
          { tokens: begun?.tokens, promptLength: begun?.promptLength },
          { tokens: apart?.tokens, promptLength: apart?.promptLength },
        )
      }),
  )

  it.effect("refuses a response of which no token is left", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        GoldenFile.examples([{ prompt: "a", response: "b", tokens: [1, 2], promptLength: 2 }], tokenizer),
      )
      assert.match(error.message, /^golden data: example 1: no token of the response/)
    }),
  )

  describe.skipIf(!hasShared)("against the reference samples (needs ../shared)", () => {
    it.effect("makes the tokens of every sample from its texts", () =>
      Effect.gen(function* () {
        const { decodeAll } = yield* tokenizer
        const { samples } = oracle("math")
        const responses = yield* decodeAll(
          samples.map(({ promptLength, tokens }) => tokens.slice(promptLength)),
        )
        const lines = samples.map(({ prompt }, i) => ({ prompt, response: responses[i] ?? "" }))
        const made = yield* GoldenFile.examples(lines, tokenizer)
        assert.deepStrictEqual(
          made.map(({ promptLength, tokens }) => ({ promptLength, tokens: [...tokens] })),
          samples.map(({ promptLength, tokens }) => ({ promptLength, tokens: [...tokens] })),
        )
      }),
    )
  })
})
