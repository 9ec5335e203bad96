import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Tokenizer } from "../src/index.ts"
import { hasShared } from "./support/fixtures.ts"
import { fixture, readJson, shared } from "./support/models.ts"

interface Line {
  readonly text: string
  readonly ids: ReadonlyArray<number>
  readonly idsWithoutSpecialTokens: ReadonlyArray<number>
  readonly decoded: string
  readonly decodedSkippingSpecialTokens: string
}

const openAt = (directory: string) =>
  Tokenizer.open({ files: { "tokenizer.json": `${directory}/tokenizer.json` } })

describe("Tokenizer", () => {
  it.effect("adds the special tokens of the post-processor, and only those", () =>
    Effect.gen(function* () {
      const { decode, encode } = yield* openAt(fixture("base"))
      assert.deepStrictEqual(encode("Q: 83-61\nA:"), [1, 51, 28, 223, 26, 21, 15, 24, 19, 201, 35, 28])
      assert.deepStrictEqual(encode("", { addSpecial: false }), [])
      assert.strictEqual(decode([1, 51, 28, 2]), "<s>Q:</s>")
      assert.strictEqual(decode([1, 51, 28, 2], { skipSpecial: true }), "Q:")
      assert.strictEqual(decode([]), "")
    }),
  )

  it.effect("says so when there is none, or when it is no tokenizer", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(Tokenizer.open({ files: { "config.json": "/m/config.json" } }))
      assert.strictEqual(missing.message, "/m/config.json: there is no tokenizer.json beside it")
      assert.strictEqual(missing.blame, "input")
      const path = `${fixture("base")}/config.json`
      const wrong = yield* Effect.flip(Tokenizer.open({ files: { "tokenizer.json": path } }))
      assert.strictEqual(wrong.blame, "input")
      assert.include(wrong.message, "unusable tokenizer")
    }),
  )

  describe.skipIf(!hasShared)("reference lines (needs ../shared)", () => {
    for (const [oracle, directory] of [
      ["micro-base", "models/micro/base"],
      ["realtext-base", "models/realtext/base"],
      ["tokenizer-phi-3-mini", "models/tokenizer-phi-3-mini"],
      ["tokenizer-smollm2", "models/tokenizer-smollm2"],
      ["tokenizer-unigram", "models/tokenizer-unigram"],
      ["tokenizer-wordpiece", "models/tokenizer-wordpiece"],
    ] as const) {
      it.effect(`${oracle} gives the same tokens and texts`, () =>
        Effect.gen(function* () {
          const { decode, encode } = yield* openAt(shared(directory))
          const lines = yield* readJson<ReadonlyArray<Line>>(shared(`oracles/tokenizers/${oracle}.json`))
          for (const line of lines) {
            assert.deepStrictEqual(
              {
                text: line.text,
                ids: encode(line.text),
                idsWithoutSpecialTokens: encode(line.text, { addSpecial: false }),
                decoded: decode(line.idsWithoutSpecialTokens),
                decodedSkippingSpecialTokens: decode(line.idsWithoutSpecialTokens, { skipSpecial: true }),
              },
              line,
            )
          }
        }),
      )
    }
  })
})
