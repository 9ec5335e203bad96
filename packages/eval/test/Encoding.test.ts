import { assert, layer } from "@effect/vitest"
import { at } from "@hila/core/Lookup"
import { LanguageModel } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Answering from "../src/requests/Answering.ts"
import * as Encoding from "../src/requests/Encoding.ts"
import * as Journal from "../src/requests/Journal.ts"
import { respondent } from "./support.ts"

const bos = 1

layer(LanguageModel.layerWith({ workers: 1, threads: 1 }))("requests as tokens", (it) => {
  it.effect("are encoded as one text, with whitespace at the seam in the continuation", () =>
    Effect.gen(function* () {
      const { vocabulary } = yield* respondent("math")
      const { tokenizer } = vocabulary
      const whole = yield* tokenizer.encode("Q: 1+1\nA: 2")
      const expected = { tokens: whole, contextLength: (yield* tokenizer.encode("Q: 1+1\nA:")).length }
      const pairs = [
        { context: "Q: 1+1\nA:", continuation: " 2" },
        { context: "Q: 1+1\nA: ", continuation: "2" },
      ]
      assert.deepStrictEqual(yield* Encoding.continued(vocabulary, pairs), [expected, expected])
    }),
  )

  it.effect("put the beginning of sequence before an empty context, once", () =>
    Effect.gen(function* () {
      const { vocabulary } = yield* respondent("math")
      const { tokenizer } = vocabulary
      const own = yield* tokenizer.encode("12", { addSpecial: false })
      const [plain, marked] = yield* Encoding.continued(vocabulary, [
        { context: "", continuation: "12" },
        { context: "", continuation: `${yield* tokenizer.decode([bos])}12` },
      ])
      assert.deepStrictEqual(plain, { tokens: [bos, ...own], contextLength: 1 })
      assert.strictEqual(marked?.tokens.filter((token) => token === bos).length, 1)
    }),
  )

  it.effect("keep their end when they are too long", () =>
    Effect.gen(function* () {
      const { vocabulary } = yield* respondent("math")
      const short = { ...vocabulary, maxLength: 8 }
      const pairs = [{ context: "Q: 11+22+33+44\nA:", continuation: " 110" }]
      const long = at(yield* Encoding.continued(short, pairs), 0)
      const { contextLength, tokens } = at(yield* Encoding.continued(vocabulary, pairs), 0)
      assert.deepStrictEqual(long.tokens, tokens.slice(-9))
      assert.strictEqual(long.tokens.length - long.contextLength, tokens.length - contextLength)
      assert.deepStrictEqual(yield* Encoding.prompts(short, ["Q: 11+22+33+44\nA:"], 3), [
        (yield* vocabulary.tokenizer.encode("Q: 11+22+33+44\nA:")).slice(-5),
      ])
    }),
  )

  it.effect("predict each token of a long text once, in windows", () =>
    Effect.gen(function* () {
      const { vocabulary } = yield* respondent("math")
      const text = Array.from({ length: 20 }, (_, i) => `${i}+${i}`).join("\n")
      const tokens = yield* vocabulary.tokenizer.encode(text)
      for (const maxLength of [7, 16, tokens.length, 500]) {
        const windows = at(yield* Encoding.windows({ ...vocabulary, maxLength }, [text]), 0)
        assert.deepStrictEqual(
          windows.flatMap((row) => row.tokens.slice(row.contextLength)),
          tokens,
        )
        for (const row of windows) assert.isAtMost(row.tokens.length, maxLength + 1)
        assert.deepStrictEqual(windows[0]?.tokens.slice(0, 2), [bos, tokens[0] ?? 0])
      }
      const empty = yield* vocabulary.tokenizer.encode("")
      assert.lengthOf(at(yield* Encoding.windows(vocabulary, [""]), 0), empty.length === 0 ? 0 : 1)
    }),
  )

  it.effect("get the same answers in any company, cut at the first stop string", () =>
    Effect.gen(function* () {
      const ready = yield* respondent("math")
      const generate = (context: string, until: ReadonlyArray<string>) =>
        ({ _tag: "Generate", context, generation: { until, maxTokens: 8 } }) as const
      const requests = [
        generate("Q: 83-61\nA:", ["\n"]),
        { _tag: "LogLikelihood", context: "Q: 83-61\nA:", continuation: " 22" } as const,
        generate("Q: 83-61\nA:", ["2", "\n"]),
        { _tag: "Rolling", text: "Q: 83-61\nA: 22\n" } as const,
        generate("Q: 83-61\nA:", ["\n"]),
      ]
      const together = yield* Answering.answer(ready, requests, Journal.memory())
      assert.deepStrictEqual([together[0], together[2], together[4]], [" 22", " ", " 22"])
      for (const [i, request] of requests.entries()) {
        const [alone] = yield* Answering.answer(ready, [request], Journal.memory())
        const numbers = (answer: unknown) =>
          typeof answer === "string" ? answer : [answer].flat().map((n) => Number(Number(n).toFixed(4)))
        assert.deepStrictEqual(numbers(alone), numbers(together[i]))
      }
    }),
  )
})
