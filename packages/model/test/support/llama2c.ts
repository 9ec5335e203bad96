/**
 * Reads what llama2.c trains: its first checkpoint format (a header of seven integers, then float32 tensors without
 * names) and its vocabulary, and writes both as a checkpoint.
 */
import * as Effect from "effect/Effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { SafetensorsWriter } from "../../src/index.ts"

interface Tensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** Rows of rotary pairs (2j, 2j + 1) in the order that pairs j with j + d/2, head by head. */
const unpaired = (data: Float32Array, columns: number, headDim: number): Float32Array => {
  const rows = data.length / columns
  const out = new Float32Array(data.length)
  for (let row = 0; row < rows; row++) {
    const j = row % headDim
    const from = row - j + (j < headDim / 2 ? 2 * j : 2 * (j - headDim / 2) + 1)
    out.set(data.subarray(from * columns, (from + 1) * columns), row * columns)
  }
  return out
}

const readWeights = (path: string) => {
  const bytes = readFileSync(path)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [dim = 0, hidden = 0, layers = 0, heads = 0, kvHeads = 0, signed = 0, positions = 0] = Array.from(
    { length: 7 },
    (_, i) => view.getInt32(4 * i, true),
  )
  const vocab = Math.abs(signed) // negative where the classifier has weights of its own
  const headDim = dim / heads
  let offset = 28
  const take = (count: number): Float32Array => {
    const values = Float32Array.from({ length: count }, (_, i) => view.getFloat32(offset + 4 * i, true))
    offset += 4 * count
    return values
  }
  /** One tensor per layer, as llama2.c stacks them. */
  const stack = (name: string, shape: ReadonlyArray<number>, rotary = false): ReadonlyArray<Tensor> =>
    Array.from({ length: layers }, (_, l) => {
      const data = take(shape.reduce((n, d) => n * d, 1))
      return {
        name: `model.layers.${l}.${name}.weight`,
        shape,
        data: rotary ? unpaired(data, dim, headDim) : data,
      }
    })
  const kv = kvHeads * headDim
  const tensors: Array<Tensor> = [
    { name: "model.embed_tokens.weight", shape: [vocab, dim], data: take(vocab * dim) },
    ...stack("input_layernorm", [dim]),
    ...stack("self_attn.q_proj", [dim, dim], true),
    ...stack("self_attn.k_proj", [kv, dim], true),
    ...stack("self_attn.v_proj", [kv, dim]),
    ...stack("self_attn.o_proj", [dim, dim]),
    ...stack("post_attention_layernorm", [dim]),
    ...stack("mlp.gate_proj", [hidden, dim]),
    ...stack("mlp.down_proj", [dim, hidden]),
    ...stack("mlp.up_proj", [hidden, dim]),
    { name: "model.norm.weight", shape: [dim], data: take(dim) },
  ]
  take(positions * headDim) // tables of the rotation's cosines and sines
  if (signed < 0) tensors.push({ name: "lm_head.weight", shape: [vocab, dim], data: take(vocab * dim) })
  const config = {
    model_type: "llama",
    hidden_size: dim,
    intermediate_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: vocab,
    max_position_embeddings: positions,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    hidden_act: "silu",
    tie_word_embeddings: signed > 0,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: "float32",
  }
  return { config, tensors }
}

/** The vocabulary as byte-fallback BPE: any two tokens that together are a token merge, the best token first. */
const readTokenizer = (path: string) => {
  const bytes = readFileSync(path)
  const tokens: Array<string> = []
  for (let at = 4; at < bytes.length;) {
    const length = bytes.readInt32LE(at + 4)
    tokens.push(bytes.toString("utf8", at + 8, at + 8 + length).replaceAll(" ", "▁"))
    at += 8 + length
  }
  const special = ["<unk>", "<s>", "</s>"]
  special.forEach((content, id) => (tokens[id] = content))
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
  const known = new Set(tokens)
  // Bytes are 3…258; learned tokens follow, the most valuable first.
  const merges = tokens.slice(259).flatMap((token) => {
    const characters = [...token]
    return characters.slice(1).flatMap((_, i) => {
      const pair = [characters.slice(0, i + 1).join(""), characters.slice(i + 1).join("")]
      return pair.every((part) => known.has(part)) ? [pair] : []
    })
  })
  return {
    version: "1.0",
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: { type: "BPE", unk_token: "<unk>", fuse_unk: true, byte_fallback: true, vocab, merges },
  }
}

/** Writes a llama2.c checkpoint and vocabulary as a checkpoint directory. */
export const convert = Effect.fnUntraced(function* (weights: string, vocabulary: string, directory: string) {
  const { config, tensors } = readWeights(weights)
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, "config.json"), JSON.stringify(config))
  writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(readTokenizer(vocabulary)))
  yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
    tensors: tensors.map(({ name, shape }) => ({ name, shape, dtype: "F32" })),
    data: ({ name }, write) =>
      write(
        new Uint8Array(tensors.find((tensor) => tensor.name === name)?.data.buffer ?? new ArrayBuffer(0)),
      ),
  })
})
