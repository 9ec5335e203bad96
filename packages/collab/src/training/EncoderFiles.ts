/**
 * The files of a BERT-style classifier that begins here: config.json, tokenizer files, initial weights.
 *
 * They are what transformers writes and reads for `BertForSequenceClassification`, so a checkpoint trained here can be
 * used wherever such checkpoints are.
 */
import { atOr, entry } from "@hila/core/Lookup"
import { SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { CollabError } from "../CollabError.ts"
import * as Random from "../Random.ts"
import type { Parameters } from "./AdamW.ts"
import { specials } from "./WordPiece.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** The sizes of an encoder; `hidden` is a multiple of `heads`. */
export const Size = Schema.Struct({
  layers: Count,
  hidden: Count,
  heads: Count,
  /** Width of the MLPs. */
  inner: Count,
  /** Tokens of a sequence at most, special ones included. */
  positions: Count,
})
export type Size = typeof Size.Type

/** The config.json of an encoder with these classes. */
export const config = (size: Size, vocabulary: number, classes: ReadonlyArray<string>) => ({
  architectures: ["BertForSequenceClassification"],
  model_type: "bert",
  vocab_size: vocabulary,
  hidden_size: size.hidden,
  num_hidden_layers: size.layers,
  num_attention_heads: size.heads,
  intermediate_size: size.inner,
  hidden_act: "gelu",
  hidden_dropout_prob: 0.1,
  attention_probs_dropout_prob: 0.1,
  max_position_embeddings: size.positions,
  type_vocab_size: 2,
  initializer_range: 0.02,
  layer_norm_eps: 1e-12,
  pad_token_id: 0,
  position_embedding_type: "absolute",
  dtype: "float32",
  id2label: Object.fromEntries(classes.map((name, i) => [String(i), name])),
  label2id: Object.fromEntries(classes.map((name, i) => [name, i])),
})

const [padding, unknown, start, end, mask] = specials

/** The tokenizer.json of uncased WordPiece with BERT's special tokens. */
export const tokenizer = (vocabulary: ReadonlyArray<string>) => {
  const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } })
  const entry = (token: string) => [token, { id: token, ids: [vocabulary.indexOf(token)], tokens: [token] }]
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [special(start), { Sequence: { id: "A", type_id: 0 } }, special(end)],
      pair: [
        special(start),
        { Sequence: { id: "A", type_id: 0 } },
        special(end),
        { Sequence: { id: "B", type_id: 1 } },
        { SpecialToken: { id: end, type_id: 1 } },
      ],
      special_tokens: Object.fromEntries([entry(start), entry(end)]),
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: unknown,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((piece, id) => [piece, id])),
    },
  }
}

const tokenizerConfig = (size: Size) => ({
  tokenizer_class: "BertTokenizer",
  do_lower_case: true,
  model_max_length: size.positions,
  pad_token: padding,
  unk_token: unknown,
  cls_token: start,
  sep_token: end,
  mask_token: mask,
})

/** Every tensor of the model with its sizes, by the names of `BertForSequenceClassification`. */
const tensors = (size: Size, vocabulary: number, classes: number): ReadonlyArray<[string, Array<number>]> => {
  const { heads: _, hidden: d, inner, layers, positions } = size
  const linear = (name: string, out: number, from: number): ReadonlyArray<[string, Array<number>]> => [
    [`${name}.weight`, [out, from]],
    [`${name}.bias`, [out]],
  ]
  const norm = (name: string): ReadonlyArray<[string, Array<number>]> => [
    [`${name}.weight`, [d]],
    [`${name}.bias`, [d]],
  ]
  const layer = (l: number) => {
    const at = `bert.encoder.layer.${l}`
    return [
      ...["query", "key", "value"].flatMap((role) => linear(`${at}.attention.self.${role}`, d, d)),
      ...linear(`${at}.attention.output.dense`, d, d),
      ...norm(`${at}.attention.output.LayerNorm`),
      ...linear(`${at}.intermediate.dense`, inner, d),
      ...linear(`${at}.output.dense`, d, inner),
      ...norm(`${at}.output.LayerNorm`),
    ]
  }
  return [
    ["bert.embeddings.word_embeddings.weight", [vocabulary, d]],
    ["bert.embeddings.position_embeddings.weight", [positions, d]],
    ["bert.embeddings.token_type_embeddings.weight", [2, d]],
    ...norm("bert.embeddings.LayerNorm"),
    ...Array.from({ length: layers }, (_, l) => layer(l)).flat(),
    ...linear("bert.pooler.dense", d, d),
    ...linear("classifier", classes, d),
  ]
}

/** Initial weights: matrices N(0, 1/√in) cut to embeddings of 0.05, norms 1, biases 0; the same for the same seed. */
export const initial = (size: Size, vocabulary: number, classes: number, seed: number): Parameters =>
  new Map(
    tensors(size, vocabulary, classes).map(([name, shape]) => {
      const random = Random.make(Random.seedOf(seed, name))
      const count = shape.reduce((product, n) => product * n, 1)
      const deviation = name.includes("embeddings") ? 0.05 : atOr(shape, 1, 1) ** -0.5
      const fill = (): number => {
        if (shape.length > 1) return deviation * random.normal()
        return name.endsWith("LayerNorm.weight") ? 1 : 0
      }
      return [name, { shape, data: Float32Array.from({ length: count }, fill) }]
    }),
  )

/** What an encoder is made of. */
export interface Encoder {
  readonly size: Size
  readonly vocabulary: ReadonlyArray<string>
  readonly classes: ReadonlyArray<string>
  readonly parameters: Parameters
}

/** Writes a checkpoint directory. */
export const write = Effect.fnUntraced(function* (
  directory: string,
  { classes, parameters, size, vocabulary }: Encoder,
) {
  const files: Readonly<Record<string, string>> = {
    "config.json": JSON.stringify(config(size, vocabulary.length, classes), undefined, 2),
    "tokenizer.json": JSON.stringify(tokenizer(vocabulary)),
    "tokenizer_config.json": JSON.stringify(tokenizerConfig(size), undefined, 2),
    "special_tokens_map.json": JSON.stringify({
      pad_token: padding,
      unk_token: unknown,
      cls_token: start,
      sep_token: end,
      mask_token: mask,
    }),
    "vocab.txt": `${vocabulary.join("\n")}\n`,
  }
  yield* Effect.tryPromise({
    try: async () => {
      await mkdir(directory, { recursive: true })
      for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
    },
    catch: (cause) => new CollabError({ subject: directory, problem: `cannot be written: ${String(cause)}` }),
  })
  yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
    metadata: { format: "pt" },
    tensors: [...parameters].map(([name, { shape }]) => ({ name, dtype: "F32", shape })),
    data: ({ name }, put) => {
      const { data } = entry(parameters, name)
      return put(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    },
  })
})
