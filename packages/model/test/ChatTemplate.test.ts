import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ChatTemplate, Tokenizer } from "../src/index.ts"
import { hasShared, temporary } from "./support/fixtures.ts"
import { shared } from "./support/models.ts"

/** A checkpoint's files, with the texts given. */
const filesOf = Effect.fnUntraced(function* (texts: Readonly<Record<string, string>>) {
  const directory = yield* temporary
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(directory, name), text)
  return { files: Object.fromEntries(Object.keys(texts).map((name) => [name, join(directory, name)])) }
})

const named = (name: string) => ({
  files: Object.fromEntries(
    ["tokenizer_config.json", "tokenizer.json"]
      .map((file) => [file, shared(`models/tokenizer-${name}/${file}`)] as const)
      .filter(([, path]) => existsSync(path)),
  ),
})

const talk = [
  { role: "user", content: "What is 2+2?" },
  { role: "assistant", content: "4" },
  { role: "user", content: "And 3+3?" },
]

describe("ChatTemplate", () => {
  describe.skipIf(!hasShared)("of real tokenizers (needs ../shared)", () => {
    it.effect("qwen2.5 writes its system prompt and opens the answer", () =>
      Effect.gen(function* () {
        const template = yield* ChatTemplate.open(named("qwen2.5"))
        const system =
          "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        const turns =
          "<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n" +
          "<|im_start|>user\nAnd 3+3?<|im_end|>\n"
        assert.strictEqual(yield* template.render(talk), `${system}${turns}<|im_start|>assistant\n`)
        assert.strictEqual(yield* template.render(talk, { addGenerationPrompt: false }), `${system}${turns}`)
        const own = [{ role: "system", content: "Be brief." }, ...talk]
        assert.match(
          yield* template.render(own),
          /^<\|im_start\|>system\nBe brief\.<\|im_end\|>\n<\|im_start\|>user/,
        )
      }),
    )

    it.effect("phi-3-mini ends with its end-of-text token where no answer is wanted", () =>
      Effect.gen(function* () {
        const template = yield* ChatTemplate.open(named("phi-3-mini"))
        const turns = "<|user|>\nWhat is 2+2?<|end|>\n<|assistant|>\n4<|end|>\n<|user|>\nAnd 3+3?<|end|>\n"
        assert.strictEqual(yield* template.render(talk), `${turns}<|assistant|>\n`)
        const whole = yield* template.render(talk, { addGenerationPrompt: false })
        assert.strictEqual(whole, `${turns}<|endoftext|>`)
        const tokenizer = yield* Tokenizer.open(named("phi-3-mini"))
        const tokens = yield* tokenizer.encode(whole, { addSpecial: false })
        // The template's special tokens become single tokens: <|user|>, <|end|>, <|assistant|>, <|endoftext|>.
        assert.deepStrictEqual(
          tokens.filter((token) => token >= 32000),
          [32010, 32007, 32001, 32007, 32010, 32007, 32000],
        )
      }),
    )
  })

  it.effect("a file of its own wins, and special tokens may be objects", () =>
    Effect.gen(function* () {
      const checkpoint = yield* filesOf({
        "chat_template.jinja":
          "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}",
        "tokenizer_config.json": JSON.stringify({ bos_token: { content: "<s>" }, chat_template: "other" }),
      })
      const template = yield* ChatTemplate.open(checkpoint)
      assert.strictEqual(yield* template.render([{ role: "user", content: " hi " }]), "<s>[user] hi\n")
    }),
  )

  it.effect("of several in tokenizer_config.json takes the default one", () =>
    Effect.gen(function* () {
      const templates = [
        { name: "tool_use", template: "tools" },
        { name: "default", template: "{{ messages[0].content }}{{ eos_token }}" },
      ]
      const checkpoint = yield* filesOf({
        "tokenizer_config.json": JSON.stringify({
          eos_token: "</s>",
          pad_token: null,
          chat_template: templates,
        }),
      })
      const template = yield* ChatTemplate.open(checkpoint)
      assert.strictEqual(yield* template.render([{ role: "user", content: "hi" }]), "hi</s>")
    }),
  )

  it.effect("what is missing, broken or refused is one line", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(ChatTemplate.open(yield* filesOf({ "tokenizer_config.json": "{}" })))
      assert.match(none.message, /tokenizer_config\.json: no chat template: give the prompt as/)
      const broken = yield* Effect.flip(
        ChatTemplate.open(yield* filesOf({ "chat_template.jinja": "{% for x in %}" })),
      )
      assert.match(broken.message, /^[^\n]*chat_template\.jinja: unusable chat template: [^\n]+$/)
      const strict = yield* ChatTemplate.open(
        yield* filesOf({ "chat_template.jinja": "{{ raise_exception('roles must\n alternate') }}" }),
      )
      const refused = yield* Effect.flip(strict.render(talk))
      assert.match(refused.message, /the chat template refuses the conversation: roles must alternate$/)
      assert.strictEqual(refused.blame, "input")
    }),
  )

  // The case chat-special-tokens-map.
  it.effect(
    "writes special tokens that only special_tokens_map.json names, or the tokenizer's class has",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const file = (name: string, json: object) => {
          writeFileSync(join(directory, name), JSON.stringify(json))
          return join(directory, name)
        }
        const source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
        const rendered = Effect.fnUntraced(function* (config: object, map?: object) {
          const files = {
            "tokenizer_config.json": file("tokenizer_config.json", { chat_template: source, ...config }),
            ...(map === undefined ? {} : { "special_tokens_map.json": file("special_tokens_map.json", map) }),
          }
          return yield* (yield* ChatTemplate.open({ files })).render([{ role: "user", content: "hi" }])
        })
        const map = { bos_token: "<s>", eos_token: { content: "</s>" } }
        assert.strictEqual(yield* rendered({}, map), "<s>hi</s>")
        assert.strictEqual(yield* rendered({ bos_token: null, eos_token: "<e>" }, map), "hi<e>")
        assert.strictEqual(yield* rendered({ tokenizer_class: "Qwen2TokenizerFast" }), "hi<|endoftext|>")
      }),
  )
})
