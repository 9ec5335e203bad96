import { assert, describe, it } from "@effect/vitest"
import { taskArithmetic } from "@hila/merge"
import { merge as mergeModels } from "@hila/merge/Recipe"
import { Inspect } from "@hila/merge/Tools"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { scratch } from "./support.ts"
import * as Tiny from "./tiny.ts"

const embedding = "model.embed_tokens.weight"
const common = ["<unk>", "<s>", "</s>", "w0", "w1"]

const model = (tokens: ReadonlyArray<string> | Readonly<Record<string, unknown>>, count = 8): Tiny.Tiny => ({
  tensors: { [embedding]: Tiny.rows(count) },
  config: { vocab_size: count },
  files: Array.isArray(tokens) ? { "tokenizer.json": Tiny.words(tokens) } : { ...tokens },
})

/** Merges models named a, b, c without a tokenizer rule. */
const merge = Effect.fnUntraced(function* (models: ReadonlyArray<Tiny.Tiny>, rest = "", base = false) {
  const directory = yield* scratch
  const names = models.map((_, index) => "abc".charAt(index))
  for (const [index, each] of models.entries()) yield* Tiny.write(join(directory, "abc".charAt(index)), each)
  const listed = names.map((name) => `- {model: ${name}, parameters: {weight: 1}}\n`).join("")
  return yield* Tiny.merge(
    directory,
    `merge_method: linear\n${base ? "base_model: a\n" : ""}models:\n${listed}${rest}`,
  )
})

const refusal = (...given: Parameters<typeof merge>) =>
  Effect.map(Effect.flip(merge(...given)), ({ message }) => message)

/** What is told of tokens. */
const told = (...given: Parameters<typeof merge>) =>
  Effect.map(merge(...given), ({ notes }) => notes.filter((note) => /token/.test(note)))

describe("models without a tokenizer rule", () => {
  it.effect("whose tokens lie at other ids are refused, and merged by a rule or as they lie on demand", () =>
    Effect.gen(function* () {
      // Case 19-same-rows-other-tokens.
      const models = [
        model([...common, "<|im_start|>", "<|im_end|>"]),
        model([...common, "<|im_end|>", "<|im_start|>"]),
      ]
      assert.match(
        yield* refusal(models),
        /recipe\.yml:4:3: b has "<\|im_end\|>" at the id 5, a at 6 \(2 such tokens in all\): their rows would be mixed\. tokenizer_source: union \(or base\) moves rows by token; accept: \[tokens\] merges them as they lie$/,
      )
      const moved = yield* merge(models, "tokenizer_source: union\n")
      assert.deepStrictEqual((yield* moved.rowsOf(embedding)).slice(5), [
        [5.5, 5.5],
        [5.5, 5.5],
      ])
      const accepted = yield* merge(models, "accept: [tokens]\n")
      assert.deepStrictEqual(yield* accepted.rowsOf(embedding), Tiny.rows(8))
      assert.include(
        accepted.notes,
        'accepted: b has "<|im_end|>" at the id 5, a at 6 (2 such tokens in all); their rows are merged as they lie',
      )
      assert.match(
        yield* refusal(models, "accept: [toknes]\n"),
        /recipe\.yml:5:10: accept 1: there is no "toknes", did you mean "tokens"\?/,
      )
    }),
  )

  it.effect("whose ordinary tokens are others are refused", () =>
    Effect.gen(function* () {
      const words = (prefix: string) => ["<unk>", ...["0", "1", "2"].map((digit) => prefix + digit)]
      assert.match(
        yield* refusal([model(words("v")), model(words("w"))]),
        /: b has "w0" at the id 1, a "v0" \(3 such ids in all\): their rows would be mixed/,
      )
    }),
  )

  it.effect(
    "of which one gives a reserved or added token a new name are merged, and told with the tokens",
    () =>
      Effect.gen(function* () {
        const reserved = model([...common, "<|reserved_special_token_0|>", "<|reserved_special_token_1|>"])
        const chat = model([...common, "<|im_start|>", "<|im_end|>"])
        const names =
          'b has other names for tokens of a, which the result has: "<|reserved_special_token_0|>" (5) is "<|im_start|>", "<|reserved_special_token_1|>" (6) is "<|im_end|>"'
        assert.deepStrictEqual(yield* told([reserved, chat]), [names])
        assert.deepStrictEqual(yield* told([reserved, chat, chat], "", true), [
          names,
          names.replace("b has", "c has"),
        ])
        assert.match(
          yield* refusal([reserved, chat, model([...common, "<tool>", "<|im_end|>"])], "", true),
          /recipe\.yml:6:3: c has "<tool>" at the id 5, b "<\|im_start\|>": their rows would be mixed/,
        )
      }),
  )

  it.effect("whose tokenizers differ without harm are merged", () =>
    Effect.gen(function* () {
      const first = Tiny.words([...common, "<tool>"])
      const other = {
        ...first,
        added_tokens: first.added_tokens
          .toReversed()
          .map((token) => ({ ...token, normalized: true, special: false })),
        model: {
          ...first.model,
          vocab: Object.fromEntries(Object.entries(first.model.vocab).toReversed()),
        },
      }
      const models = [
        model({ "tokenizer.json": first }),
        model({ "tokenizer.json": other, "chat_template.jinja": "{{ x }}" }),
      ]
      assert.deepStrictEqual(yield* told(models), [])
    }),
  )

  it.effect(
    "of which one has more tokens within its rows are merged, and told; tokens past the rows are not",
    () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* told([model(common), model([...common, "<tool>", "x"])]), [
          'b has tokens that a, whose tokenizer the result gets, has not: "<tool>", "x" (tokenizer_source: union keeps them)',
        ])
        const past = ["t0", "t1", "t2", "t3"]
        assert.deepStrictEqual(
          yield* told([model([...common, ...past], 5), model([...common, ...past.toReversed()], 5)]),
          [],
        )
      }),
  )

  it.effect("are compared by vocab.json and vocab.txt, too, and told where there is nothing to compare", () =>
    Effect.gen(function* () {
      const vocab = Object.fromEntries(common.map((token, id) => [token, id]))
      const json = { "vocab.json": vocab, "added_tokens.json": { "<a>": 5, "<b>": 6 } }
      const text = { "vocab.txt": `${[...common, "<b>", "<a>"].join("\n")}\n` }
      assert.match(
        yield* refusal([model(json), model(text)]),
        /b has "<b>" at the id 5, a at 6 \(2 such tokens in all\)/,
      )
      assert.match(
        yield* refusal([model({}), model(json), model(text)]),
        /recipe\.yml:5:3: c has "<b>" at the id 5, b at 6/,
      )
      assert.deepStrictEqual(yield* told([model({}), model(json), model({ "tokenizer.model": "?" })]), [
        "a has no tokenizer: its tokens are taken to be those of b",
        "c has a tokenizer in a form that is not read here: its tokens are taken to be those of b",
      ])
      assert.deepStrictEqual(yield* told([model({}), model({})]), [])
    }),
  )

  it.effect("are refused as values, too, and by the methods that have no recipe", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      yield* Tiny.write(join(directory, "a"), model([...common, "<x>", "<y>"]))
      yield* Tiny.write(join(directory, "b"), model([...common, "<y>", "<x>"]))
      const [a, b] = [
        yield* Checkpoint.open(join(directory, "a")),
        yield* Checkpoint.open(join(directory, "b")),
      ]
      const values = { method: "linear", parameters: { weight: 1 } } as const
      const refused = yield* Effect.flip(mergeModels({ models: [a, b] }, values, join(directory, "no")))
      assert.match(refused.message, /linear: models 2: model 2 has "<y>" at the id 5, model 1 at 6 /)
      const accepted = yield* mergeModels(
        { models: [a, b] },
        { ...values, accept: ["tokens"] },
        join(directory, "yes"),
      )
      assert.strictEqual(accepted.config["vocab_size"], 8)
      const arithmetic = yield* Effect.flip(
        taskArithmetic({ base: a, experts: [b] }, { lambda: 1 }, join(directory, "out")),
      )
      assert.match(
        arithmetic.message,
        /^taskArithmetic: models 1: model 1 has "<y>" at the id 5, base at 6 \(2 such tokens in all\): their rows would be mixed\. tokenizer_source: /,
      )
    }),
  )
})

describe("an inspection", () => {
  it.effect("finds ids of special tokens that name none, or an ordinary one", () =>
    Effect.gen(function* () {
      // Case 18-tokenizer-source-special-ids, as its result was.
      const odd = (config: object, generation: object, files: object = {}) =>
        Effect.gen(function* () {
          const directory = join(yield* scratch, "model")
          const { config: own, ...rest } = model(common)
          yield* Tiny.write(directory, {
            ...rest,
            config: { ...own, ...config },
            files: { "tokenizer.json": Tiny.words(common), "generation_config.json": generation, ...files },
          })
          const { oddities } = yield* Inspect.inspect(yield* Checkpoint.open(directory))
          return oddities.filter((oddity) => /_id/.test(oddity))
        })
      assert.deepStrictEqual(
        yield* odd({ eos_token_id: 2, pad_token_id: -1, bos_token_id: null }, { eos_token_id: [2, 1] }),
        [],
      )
      assert.deepStrictEqual(
        yield* odd(
          { eos_token_id: 3, text_config: { pad_token_id: 7 } },
          { eos_token_id: [2, 4], suppress_tokens: [3] },
        ),
        [
          'config.json: eos_token_id 3 is the ordinary token "w0"',
          "config.json: text_config.pad_token_id 7 names no token of the tokenizer",
          'generation_config.json: eos_token_id 4 is the ordinary token "w1"',
        ],
      )
      // Case 17-inspect-gpt2-vocabulary: ids of the class, beyond the rows of a small model.
      assert.deepStrictEqual(
        yield* odd({ eos_token_id: 50256, bos_token_id: 50256 }, { eos_token_id: 50256 }),
        [],
      )
      assert.deepStrictEqual(
        yield* odd({ eos_token_id: 3 }, {}, { "tokenizer_config.json": { eos_token: "w0" } }),
        [],
      )
    }),
  )

  it.effect("counts the rows of tokens, not of the table of places that comes first by name", () =>
    Effect.gen(function* () {
      // Case 17-inspect-gpt2-vocabulary.
      const directory = yield* scratch
      yield* Tiny.write(directory, {
        tensors: { "transformer.wpe.weight": Tiny.rows(9), "transformer.wte.weight": Tiny.rows(5) },
        config: { text_config: { vocab_size: 5 } },
        files: { "tokenizer.json": Tiny.words(common) },
      })
      const { oddities, vocabulary } = yield* Inspect.inspect(yield* Checkpoint.open(directory))
      assert.strictEqual(vocabulary, 5)
      assert.deepStrictEqual(
        oddities.filter((oddity) => /vocabulary|token/.test(oddity)),
        [],
      )
    }),
  )
})
