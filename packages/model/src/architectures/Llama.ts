/**
 * Llama: pre-norm RMSNorm, rotary attention with grouped key-value heads, SwiGLU, optional biases and tied head.
 *
 * Two generations of config.json are read: `rope_parameters` and `dtype` (newer), `rope_theta`, `rope_scaling` and
 * `torch_dtype` (older). Absent keys have the defaults of the reference implementation's Llama configuration.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Architecture } from "../Architecture.ts"
import { type ModelConfig, oneLine, optional } from "../ModelConfig.ts"
import { ArchitectureError } from "../ModelError.ts"
import type { Hyperparameters, ProjectionRole } from "../ModelShape.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))
const TokenId = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Rope = Schema.StructWithRest(
  Schema.Struct({
    rope_type: optional(Schema.String),
    type: optional(Schema.String),
    rope_theta: optional(Schema.Finite.check(Schema.isGreaterThan(0))),
    partial_rotary_factor: optional(Schema.Finite),
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)

const LlamaConfig = Schema.Struct({
  model_type: Schema.String,
  vocab_size: Positive,
  hidden_size: Positive,
  intermediate_size: Positive,
  num_hidden_layers: Positive,
  num_attention_heads: Positive,
  num_key_value_heads: optional(Positive),
  head_dim: optional(Positive),
  max_position_embeddings: optional(Positive),
  rms_norm_eps: optional(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  rope_parameters: optional(Rope),
  rope_scaling: optional(Rope),
  rope_theta: optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  hidden_act: optional(Schema.String),
  attention_bias: optional(Schema.Boolean),
  mlp_bias: optional(Schema.Boolean),
  tie_word_embeddings: optional(Schema.Boolean),
  bos_token_id: optional(TokenId),
  eos_token_id: optional(Schema.Union([TokenId, Schema.Array(TokenId)])),
  quantization_config: optional(Schema.Unknown),
})

type LlamaConfig = typeof LlamaConfig.Type

const decode = Schema.decodeUnknownEffect(LlamaConfig)

/** The first thing the config asks for that the Llama graph does not compute. */
const unsupported = (config: LlamaConfig, headDim: number, kvHeads: number): string | undefined => {
  const rope = [config.rope_parameters, config.rope_scaling].filter(
    (entry) => entry !== null && entry !== undefined,
  )
  for (const { partial_rotary_factor, rope_type, type } of rope) {
    const kind = rope_type ?? type ?? "default"
    if (kind !== "default") return `rope type '${kind}' is not supported; supported: 'default'`
    if ((partial_rotary_factor ?? 1) !== 1) {
      return `partial_rotary_factor ${partial_rotary_factor} is not supported; supported: 1`
    }
  }
  const activation = config.hidden_act ?? "silu"
  if (activation !== "silu") return `hidden_act '${activation}' is not supported; supported: 'silu'`
  if (config.quantization_config !== null && config.quantization_config !== undefined) {
    return "quantization_config is set; quantized weights are not supported, use the model's full-precision weights"
  }
  if (config.num_attention_heads % kvHeads !== 0) {
    return `num_attention_heads ${config.num_attention_heads} is no multiple of num_key_value_heads ${kvHeads}`
  }
  if (!Number.isInteger(headDim)) {
    return `head_dim is absent and hidden_size ${config.hidden_size} is no multiple of num_attention_heads ${config.num_attention_heads}`
  }
  return headDim % 2 === 0 ? undefined : `head_dim ${headDim} is odd; rotary embeddings need pairs`
}

const read = Effect.fnUntraced(function* (raw: ModelConfig) {
  const fail = (problem: string) => new ArchitectureError({ modelType: raw.model_type, problem })
  const config = yield* Effect.mapError(decode(raw), ({ message }) => fail(oneLine(message)))
  const heads = config.num_attention_heads
  const kvHeads = config.num_key_value_heads ?? heads
  const headDim = config.head_dim ?? config.hidden_size / heads
  const problem = unsupported(config, headDim, kvHeads)
  if (problem !== undefined) return yield* fail(problem)
  const eos = config.eos_token_id ?? []
  const sizes: Hyperparameters = {
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    layers: config.num_hidden_layers,
    heads,
    kvHeads,
    headDim,
    intermediateSize: config.intermediate_size,
    maxPositions: config.max_position_embeddings ?? 2048,
    normEps: config.rms_norm_eps ?? 1e-6,
    ropeTheta:
      config.rope_parameters?.rope_theta ?? config.rope_scaling?.rope_theta ?? config.rope_theta ?? 10_000,
    tiedEmbeddings: config.tie_word_embeddings ?? false,
    eosTokenIds: typeof eos === "number" ? [eos] : eos,
    ...(typeof config.bos_token_id === "number" ? { bosTokenId: config.bos_token_id } : {}),
  }
  const biased: ReadonlyArray<ProjectionRole> = [
    ...(config.attention_bias === true ? (["query", "key", "value", "output"] as const) : []),
    ...(config.mlp_bias === true ? (["gate", "up", "down"] as const) : []),
  ]
  return { sizes, biased }
})

/** The record of `model_type: "llama"`. */
export const llama: Architecture = {
  modelType: "llama",
  names: {
    embedding: "model.embed_tokens.weight",
    finalNorm: "model.norm.weight",
    head: "lm_head.weight",
    inputNorm: "model.layers.{layer}.input_layernorm.weight",
    postAttentionNorm: "model.layers.{layer}.post_attention_layernorm.weight",
    query: "model.layers.{layer}.self_attn.q_proj",
    key: "model.layers.{layer}.self_attn.k_proj",
    value: "model.layers.{layer}.self_attn.v_proj",
    output: "model.layers.{layer}.self_attn.o_proj",
    gate: "model.layers.{layer}.mlp.gate_proj",
    up: "model.layers.{layer}.mlp.up_proj",
    down: "model.layers.{layer}.mlp.down_proj",
  },
  read,
}
