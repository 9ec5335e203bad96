/**
 * A Llama of any size with random weights, bf16, written as a stream: for sizes nobody ships, such as a model that is
 * larger than a memory budget. The same shape and seed give the same bytes.
 */
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Checkpoint, SafetensorsWriter } from "../../src/index.ts"

export interface RandomShape {
  readonly layers: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly vocabSize: number
  readonly tied: boolean
  readonly seed?: number
}

const config = (shape: RandomShape) => ({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: shape.vocabSize,
  hidden_size: shape.hiddenSize,
  intermediate_size: shape.intermediateSize,
  num_hidden_layers: shape.layers,
  num_attention_heads: shape.heads,
  num_key_value_heads: shape.kvHeads,
  head_dim: shape.hiddenSize / shape.heads,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_theta: 10000, rope_type: "default" },
  tie_word_embeddings: shape.tied,
  hidden_act: "silu",
  bos_token_id: 1,
  eos_token_id: 2,
  dtype: "bfloat16",
})

const tensors = ({
  heads,
  hiddenSize: h,
  intermediateSize: i,
  kvHeads,
  layers,
  tied,
  vocabSize,
}: RandomShape) => {
  const kv = (h / heads) * kvHeads
  const layer = (l: number) => {
    const of = (name: string, ...shape: ReadonlyArray<number>) => ({
      name: `model.layers.${l}.${name}.weight`,
      shape,
    })
    return [
      of("input_layernorm", h),
      of("self_attn.q_proj", h, h),
      of("self_attn.k_proj", kv, h),
      of("self_attn.v_proj", kv, h),
      of("self_attn.o_proj", h, h),
      of("post_attention_layernorm", h),
      of("mlp.gate_proj", i, h),
      of("mlp.up_proj", i, h),
      of("mlp.down_proj", h, i),
    ]
  }
  return [
    { name: "model.embed_tokens.weight", shape: [vocabSize, h] },
    ...Array.from({ length: layers }, (_, l) => layer(l)).flat(),
    { name: "model.norm.weight", shape: [h] },
    ...(tied ? [] : [{ name: "lm_head.weight", shape: [vocabSize, h] }]),
  ].map((spec) => ({ ...spec, dtype: "BF16" as const }))
}

/** Fills with bf16 values of random sign and a magnitude in 2^−7 … 2^−5, by xorshift (Marsaglia, 2003). */
const fill = (out: Uint16Array, state: number): number => {
  let x = state
  for (let i = 0; i < out.length; i += 2) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    out[i] = 0x3c00 | (x & 0x80ff)
    out[i + 1] = 0x3c00 | ((x >>> 16) & 0x80ff)
  }
  return x
}

/** Writes the checkpoint into a new directory and opens it. */
export const write = Effect.fnUntraced(function* (directory: string, shape: RandomShape) {
  yield* Effect.promise(async () => {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, "config.json"), JSON.stringify(config(shape), null, 2))
  })
  const chunk = new Uint16Array(2 ** 20)
  let state = shape.seed ?? 1
  yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
    metadata: { format: "pt" },
    tensors: tensors(shape),
    data: ({ byteLength, shape: size }, put) =>
      Effect.gen(function* () {
        for (let left = byteLength / 2; left > 0; left -= chunk.length) {
          const part = chunk.subarray(0, Math.min(left, chunk.length))
          // Norms have one axis, and 1 is what they start from.
          if (size.length === 1) part.fill(0x3f80)
          else state = fill(part, state)
          yield* put(new Uint8Array(part.buffer, 0, part.byteLength))
        }
      }),
  })
  return yield* Checkpoint.open(directory)
})
