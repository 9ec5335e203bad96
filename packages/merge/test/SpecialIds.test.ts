import { assert, describe, it } from "@effect/vitest"
import * as ConfigIds from "../src/tokenizers/ConfigIds.ts"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { bytesOf, scratch } from "./support.ts"
import * as Tiny from "./tiny.ts"

const embedding = "model.embed_tokens.weight"

/** A base whose `</s>` is 2 and `<pad>` 0, and a model whose `</s>` is 3 and `<pad>` 4. */
const family = Effect.fnUntraced(function* (
  configs: Readonly<Record<string, unknown>> = {},
  generation: unknown = { eos_token_id: 2 },
  other: readonly string[] = ["<unk>", "<s>", "w0", "</s>", "<pad>", "w1"],
) {
  const directory = yield* scratch
  const model = (tokens: readonly string[], config: object, own: unknown) => ({
    tensors: { [embedding]: Tiny.rows(tokens.length) },
    config: { vocab_size: tokens.length, ...config },
    files: { "tokenizer.json": Tiny.words(tokens), "generation_config.json": own },
  })
  const text = typeof generation === "string" ? generation : JSON.stringify(generation)
  yield* Tiny.write(
    join(directory, "a"),
    model(["<pad>", "<s>", "</s>", "w0", "w1", "w2"], { eos_token_id: 2, pad_token_id: 0, ...configs }, text),
  )
  yield* Tiny.write(
    join(directory, "b"),
    model(other, { eos_token_id: 3, pad_token_id: 4 }, { eos_token_id: 3 }),
  )
  return directory
})

const recipe = (rest: string) =>
  `merge_method: task_arithmetic\nbase_model: a\nmodels:\n- {model: b, parameters: {weight: 0.5}}\n${rest}`

/** A file of a result, as text. */
const written = Effect.fnUntraced(function* (directory: string, rest: string, name: string) {
  const { merged, notes } = yield* Tiny.merge(directory, recipe(rest))
  return { text: String(yield* bytesOf(merged.files[name] ?? "")), config: merged.config, notes }
})

describe("ids of special tokens", () => {
  it.effect("name the same token in the vocabulary of the chosen tokenizer, wherever a config has them", () =>
    Effect.gen(function* () {
      // Case 18-tokenizer-source-special-ids.
      const generation =
        '{\n  "eos_token_id": [2, 1],\n  "temperature": 1.0,\n  "suppress_tokens": [3, 4],\n  "forced_decoder_ids": [[1, 2]],\n  "bad_words_ids": [[3, 4], [2]],\n  "pad_token_id": -1\n}\n'
      const directory = yield* family(
        {
          text_config: { eos_token_id: 2, image_token_index: 4 },
          vision_config: { pad_token_id: 0 },
          decoder_start_token_id: null,
        },
        generation,
      )
      const { config, notes, text } = yield* written(
        directory,
        "tokenizer_source: b\n",
        "generation_config.json",
      )
      assert.strictEqual(config["eos_token_id"], 3)
      assert.strictEqual(config["pad_token_id"], 4)
      assert.strictEqual(config["decoder_start_token_id"], null)
      assert.deepStrictEqual(config["text_config"], { eos_token_id: 3, image_token_index: 5 })
      assert.deepStrictEqual(config["vision_config"], { pad_token_id: 0 })
      assert.deepStrictEqual(JSON.parse(text), {
        eos_token_id: [3, 1],
        temperature: 1,
        suppress_tokens: [2, 5],
        forced_decoder_ids: [[1, 3]],
        bad_words_ids: [[2, 5], [3]],
        pad_token_id: -1,
      })
      assert.include(text, '"temperature": 1.0,')
      assert.include(notes, "config.json: eos_token_id is 3 in the result's vocabulary, for 2")
    }),
  )

  it.effect("stay, with every byte of their files, where the tokens keep their ids", () =>
    Effect.gen(function* () {
      const generation = '{"eos_token_id":   2, "temperature": 1.0}'
      const directory = yield* family({}, generation)
      const union = yield* written(directory, "tokenizer_source: union\n", "generation_config.json")
      assert.strictEqual(union.text, generation)
      assert.strictEqual(union.config["eos_token_id"], 2)
    }),
  )

  it.effect("are the donor's where it has no such token, or refused where it names none either", () =>
    Effect.gen(function* () {
      const others = ["<unk>", "<s>", "w0", "<|end|>", "<pad>", "w1"]
      const directory = yield* family({}, { eos_token_id: 2, suppress_tokens: [2, 3] }, others)
      const { config, notes, text } = yield* written(
        directory,
        "tokenizer_source: b\n",
        "generation_config.json",
      )
      assert.strictEqual(config["eos_token_id"], 3)
      assert.deepStrictEqual(JSON.parse(text), { eos_token_id: 3, suppress_tokens: [2] })
      assert.include(notes, 'config.json: eos_token_id is 3, that of b, whose tokenizer has no "</s>"')
      assert.include(
        notes,
        'generation_config.json: suppress_tokens loses "</s>", which the result\'s tokenizer has not',
      )
      const clash = yield* family({ sep_token_id: 2 }, { eos_token_id: 2 }, others)
      assert.match(
        (yield* Effect.flip(Tiny.merge(clash, recipe("tokenizer_source: b\n")))).message,
        /recipe\.yml:5:19: config\.json: sep_token_id 2 is "<\/s>" in a; b, whose tokenizer the result gets, has no such token and no sep_token_id: keep it with tokenizer\.tokens, \{"<\/s>": \{source: a\}\}$/,
      )
      const kept = yield* written(
        clash,
        'tokenizer: {source: b, tokens: {"</s>": {source: a}}}\n',
        "generation_config.json",
      )
      assert.strictEqual(kept.config["sep_token_id"], 6)
    }),
  )

  it("are known by their keys, and those of other vocabularies are left alone", () => {
    const paths = ConfigIds.of({
      eos_token_id: [1, 2],
      mask_index: 3,
      image_token_index: 4,
      lang_to_id: { "<|de|>": 5 },
      sequence_bias: [[[6, 7], -1]],
      audio_config: { pad_token_id: 1 },
      talker_config: { codec_eos_token_id: 1, text_config: { eos_token_id: 1 } },
      codebook_pad_token_id: 3,
      vocab_size: 10,
      num_token_ids: "9",
      thinker_config: { text_config: { bos_token_id: 8 } },
    }).map(({ ids, path }) => [path.join("."), ids])
    assert.deepStrictEqual(paths, [
      ["eos_token_id", [1, 2]],
      ["mask_index", [3]],
      ["image_token_index", [4]],
      ["lang_to_id", [5]],
      ["sequence_bias", [6, 7]],
      ["thinker_config.text_config.bos_token_id", [8]],
    ])
  })
})
