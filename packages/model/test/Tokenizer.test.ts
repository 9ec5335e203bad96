import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Tokenizer } from "../src/index.ts"
import { hasShared, temporary } from "./support/fixtures.ts"
import { fixture, readJson, shared } from "./support/models.ts"

interface Line {
  readonly text: string
  readonly ids: ReadonlyArray<number>
  readonly idsWithoutSpecialTokens: ReadonlyArray<number>
  readonly decoded: string
  readonly decodedSkippingSpecialTokens: string
}

const openAt = (directory: string) =>
  Tokenizer.open({
    files: Object.fromEntries(readdirSync(directory).map((name) => [name, `${directory}/${name}`])),
  })

describe("Tokenizer", () => {
  it.effect("adds the special tokens of the post-processor, and only those", () =>
    Effect.gen(function* () {
      const { decode, encode } = yield* openAt(fixture("base"))
      assert.deepStrictEqual(yield* encode("Q: 83-61\nA:"), [1, 51, 28, 223, 26, 21, 15, 24, 19, 201, 35, 28])
      assert.deepStrictEqual(yield* encode("", { addSpecial: false }), [])
      assert.strictEqual(yield* decode([1, 51, 28, 2]), "<s>Q:</s>")
      assert.strictEqual(yield* decode([1, 51, 28, 2], { skipSpecial: true }), "Q:")
      assert.strictEqual(yield* decode([]), "")
    }),
  )

  it.effect("says so when there is none, or when it is no tokenizer", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(Tokenizer.open({ files: { "config.json": "/m/config.json" } }))
      assert.strictEqual(
        missing.message,
        "/m/config.json: there is no tokenizer.json beside it, nor vocab.json with merges.txt",
      )
      assert.strictEqual(missing.blame, "input")
      const path = `${fixture("base")}/config.json`
      const wrong = yield* Effect.flip(Tokenizer.open({ files: { "tokenizer.json": path } }))
      assert.strictEqual(wrong.blame, "input")
      assert.include(wrong.message, "unusable tokenizer")
    }),
  )

  /** A byte-level BPE of a few tokens, and the given tokenizer_config.json. */
  const small = Effect.fnUntraced(function* (config: object, added?: object) {
    const directory = yield* temporary
    const write = (name: string, text: string) => writeFileSync(join(directory, name), text)
    write("vocab.json", JSON.stringify({ a: 0, b: 1, Ġ: 2, ab: 3, "<s>": 4, "1": 5 }))
    write("merges.txt", "#version: 0.2\na b\n")
    write("tokenizer_config.json", JSON.stringify(config))
    if (added !== undefined) write("added_tokens.json", JSON.stringify(added))
    return yield* openAt(directory)
  })

  it.effect("reads vocab.json and merges.txt as the class in tokenizer_config.json would", () =>
    Effect.gen(function* () {
      const gpt2 = yield* small({ tokenizer_class: "GPT2TokenizerFast", bos_token: { content: "<s>" } })
      assert.deepStrictEqual(yield* gpt2.encode("ab<s>ba"), [3, 4, 1, 0])
      assert.strictEqual(yield* gpt2.decode([3, 4, 2], { skipSpecial: true }), "ab ")
      const begun = yield* small({
        tokenizer_class: "GPT2Tokenizer",
        bos_token: "<s>",
        add_bos_token: true,
        add_prefix_space: true,
      })
      assert.deepStrictEqual(yield* begun.encode("ab"), [4, 2, 3])
      assert.deepStrictEqual(yield* begun.encode("ab", { addSpecial: false }), [2, 3])
      const qwen = yield* small({ tokenizer_class: "Qwen2Tokenizer" }, { "<|end|>": 6 })
      assert.deepStrictEqual(yield* qwen.encode("ab11<|end|>"), [3, 5, 5, 6])
      const unknown = yield* Effect.flip(small({ tokenizer_class: "RobertaTokenizer" }))
      assert.match(
        unknown.message,
        /tokenizer_config\.json: tokenizer_class "RobertaTokenizer" is not known to read vocab\.json and merges\.txt; known: GPT2Tokenizer, Qwen2Tokenizer\. Save a tokenizer\.json/,
      )
    }),
  )

  describe.skipIf(!hasShared)("reference lines (needs ../shared)", () => {
    for (const [oracle, directory] of [
      ["micro-base", "models/micro/base"],
      ["realtext-base", "models/realtext/base"],
      ["tokenizer-gpt2", "models/tokenizer-gpt2"],
      ["tokenizer-phi-3-mini", "models/tokenizer-phi-3-mini"],
      ["tokenizer-qwen2.5", "models/tokenizer-qwen2.5"],
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
                ids: yield* encode(line.text),
                idsWithoutSpecialTokens: yield* encode(line.text, { addSpecial: false }),
                decoded: yield* decode(line.idsWithoutSpecialTokens),
                decodedSkippingSpecialTokens: yield* decode(line.idsWithoutSpecialTokens, {
                  skipSpecial: true,
                }),
              },
              line,
            )
          }
        }),
      )
    }
  })
})
