import { assert, layer } from "@effect/vitest"
import { at } from "@hila/core/Lookup"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Answering from "../src/requests/Answering.ts"
import * as Encoding from "../src/requests/Encoding.ts"
import * as Journal from "../src/requests/Journal.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench, respondent } from "./support.ts"

const bos = 1

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("requests as tokens", (it) => {
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

  // The case seam-token.
  it.effect("leave a context its own tokens where one would join it with the continuation", () =>
    Effect.gen(function* () {
      const { vocabulary } = yield* respondent("math")
      const [context, whole] = yield* vocabulary.tokenizer.encodeAll(["Q: re", "Q: reverse"])
      const own = context ?? []
      const rest = (whole ?? []).slice(own.length)
      assert.notDeepEqual((whole ?? []).slice(0, own.length), own)
      assert.deepStrictEqual(
        yield* Encoding.continued(vocabulary, [{ context: "Q: re", continuation: "verse" }]),
        [{ tokens: [...own, ...rest], contextLength: own.length }],
      )
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

  /** The math specialist, with changes to the JSON of some of its files. */
  const changed = Effect.fnUntraced(function* (changes: Record<string, (json: any) => void>) {
    const { directory } = yield* bench
    for (const name of readdirSync(checkpointPath("math"))) {
      const [from, to] = [join(checkpointPath("math"), name), join(directory, name)]
      const change = changes[name]
      if (change === undefined) {
        symlinkSync(from, to)
        continue
      }
      const json = JSON.parse(readFileSync(from, "utf8"))
      change(json)
      writeFileSync(to, JSON.stringify(json))
    }
    const model = yield* CausalModel.open(yield* Checkpoint.open(directory))
    return yield* Answering.respondent(model, directory)
  })
  const answerTo = (ready: Answering.Respondent, until: ReadonlyArray<string>) =>
    Effect.map(
      Answering.answer(
        ready,
        [{ _tag: "Generate", context: "Q: 83-61\nA:", generation: { until, maxTokens: 8 } }],
        Journal.memory(),
      ),
      ([text]) => text,
    )

  // The case prefix-token-of-tokenizer.
  it.effect("are conditioned on the token that the tokenizer names, not on config.json's", () =>
    Effect.gen(function* () {
      const ready = yield* changed({
        "tokenizer_config.json": (json) => Object.assign(json, { bos_token: null, eos_token: "</s>" }),
      })
      assert.strictEqual(ready.vocabulary.prefix, 2)
      const unnamed = yield* changed({
        "tokenizer_config.json": (json) => Object.assign(json, { bos_token: null, eos_token: null }),
      })
      assert.strictEqual(unnamed.vocabulary.prefix, bos)
      const mapped = yield* changed({
        "tokenizer_config.json": (json) => {
          delete json.bos_token
          delete json.eos_token
        },
        "config.json": (json) => Object.assign(json, { bos_token_id: null, eos_token_id: null }),
      }).pipe(Effect.flip)
      assert.match(mapped.message, /neither the model's tokenizer_config\.json nor its config\.json names/)
    }).pipe(Effect.scoped),
  )

  // The cases eos-of-tokenizer and stop-string-special-token.
  it.effect("end at the tokenizer's end token, and at a stop string that is a special token", () =>
    Effect.gen(function* () {
      const plain = yield* respondent("math")
      assert.strictEqual(yield* answerTo(plain, ["\n"]), " 22")
      const ending = yield* changed({
        "tokenizer_config.json": (json) => Object.assign(json, { eos_token: "2" }),
      })
      assert.strictEqual(yield* answerTo(ending, ["\n"]), " ")
      const special = yield* changed({
        "tokenizer.json": (json) => {
          const id = json.model.vocab["2"]
          json.added_tokens.push({ ...json.added_tokens[0], id, content: "2" })
        },
      })
      assert.strictEqual(yield* answerTo(special, ["\n"]), " ")
      const asked = yield* special.model.continue(
        [yield* special.vocabulary.tokenizer.encode("Q: 83-61\nA:")],
        { maxTokens: 8, stop: ["2"] },
      )
      assert.strictEqual(at(asked, 0).tokens.length, 2)
    }).pipe(Effect.scoped),
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
