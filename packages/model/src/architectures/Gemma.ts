/**
 * Gemma (2024), Gemma 2 (2024) and Gemma 3 (2025), text models: norms with 1 + w, embeddings scaled by √hiddenSize,
 * GeGLU. Gemma 2 adds norms behind attention and MLP, soft caps and alternating windows; Gemma 3 norms of queries and
 * keys instead of caps, and another rope for layers with a window.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { llamaLike, missing, perLayer, Positive, PositiveNumber, windowed, windowKeys } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import * as Rope from "./Rope.ts"
import { headNorms, llamaNorms, llamaProjections, llamaTensors, preNorms } from "./Tensors.ts"

const firstKeys = { ...llamaLike, use_bidirectional_attention: optional(Schema.Boolean) }

const { hidden_act: _activation, ...others } = firstKeys
const secondKeys = {
  ...others,
  ...windowKeys,
  hidden_activation: optional(Schema.String),
  query_pre_attn_scalar: optional(PositiveNumber),
  attn_logit_softcapping: optional(PositiveNumber),
  final_logit_softcapping: optional(PositiveNumber),
}

const First = Schema.Struct(firstKeys)
const Second = Schema.Struct(secondKeys)
const Third = Schema.Struct({
  ...secondKeys,
  sliding_window_pattern: optional(Positive),
  rope_local_base_freq: optional(PositiveNumber),
})

/** Gemma 2 and 3: norms in front of and behind attention and MLP. */
const sandwich = {
  attentionInput: "input_layernorm",
  attentionOutput: "post_attention_layernorm",
  mlpInput: "pre_feedforward_layernorm",
  mlpOutput: "post_feedforward_layernorm",
}

const usualActivation = "gelu_pytorch_tanh"

const read = Effect.fnUntraced(function* (config: typeof First.Type, defaults: LlamaLike.Defaults = {}) {
  if (config.use_bidirectional_attention === true) {
    return yield* Effect.fail(missing("use_bidirectional_attention", "false"))
  }
  const { base, rope } = yield* LlamaLike.read(config, {
    headDim: 256,
    maxPositions: 8192,
    tied: true,
    activation: usualActivation,
    bos: 2,
    eos: 1,
    ...defaults,
  })
  return {
    biases: LlamaLike.biasesOf(config),
    rope,
    base: {
      ...base,
      norm: "rmsPlusOne" as const,
      normEps: config.rms_norm_eps ?? 1e-6,
      embeddingScale: Math.sqrt(base.hiddenSize),
      tensors: llamaTensors(base.tiedEmbeddings),
    },
  }
})

/** The scale of Gemma 2's and 3's scores. */
const scaleOf = ({ query_pre_attn_scalar: scalar }: typeof Second.Type): number => (scalar ?? 256) ** -0.5

/** Soft caps, where a config names any. */
const caps = (attention: number | null | undefined, logits: number | null | undefined) => ({
  ...(typeof attention === "number" ? { attentionSoftcap: attention } : {}),
  ...(typeof logits === "number" ? { logitSoftcap: logits } : {}),
})

export const gemma = decoder(
  "gemma",
  First,
  Effect.fnUntraced(function* (config) {
    // The first configs say "gelu" and mean its approximation, which their weights were trained with.
    const act = config.hidden_act === "gelu" ? usualActivation : config.hidden_act
    const { base, biases, rope } = yield* read({ ...config, hidden_act: act ?? null }, { kvHeads: 16 })
    return {
      ...base,
      attention: perLayer(base.depth, () => ({ scale: LlamaLike.usualScale(base), rope })),
      layer: (l) => ({ ...llamaProjections(l, biases), norms: llamaNorms(l, preNorms) }),
    }
  }),
)

export const gemma2 = decoder(
  "gemma2",
  Second,
  Effect.fnUntraced(function* (config) {
    const own = { ...config, hidden_act: config.hidden_activation ?? null }
    const { base, biases, rope } = yield* read(own, { kvHeads: 4 })
    const local = yield* windowed(base.depth, config.layer_types, (l) => l % 2 === 0)
    const window = config.sliding_window ?? 4096
    const { attn_logit_softcapping: attentionCap = 50, final_logit_softcapping: logitCap = 30 } = config
    return {
      ...base,
      ...caps(attentionCap, logitCap),
      attention: perLayer(base.depth, (l) => ({
        scale: scaleOf(config),
        rope,
        ...LlamaLike.reachOf(window, local[l]),
      })),
      layer: (l) => ({ ...llamaProjections(l, biases), norms: llamaNorms(l, sandwich) }),
    }
  }),
)

export const gemma3 = decoder(
  "gemma3_text",
  Third,
  Effect.fnUntraced(function* (config) {
    const { global, local: localEntry } = yield* Rope.byKind(config, {
      local: { rope_theta: config.rope_local_base_freq ?? 10_000 },
    })
    const own = { ...config, hidden_act: config.hidden_activation ?? null }
    const flat = { ...own, rope_parameters: global, rope_scaling: null, rope_theta: null }
    const { base, biases, rope } = yield* read(flat, { kvHeads: 4, maxPositions: 131_072, theta: 1e6 })
    const localRope = yield* Rope.read(
      localEntry,
      { headDim: base.headDim, theta: 10_000 },
      base.maxPositions,
    )
    const pattern = config.sliding_window_pattern ?? 6
    const local = yield* windowed(base.depth, config.layer_types, (l) => (l + 1) % pattern !== 0)
    const window = config.sliding_window ?? 4096
    return {
      ...base,
      ...caps(config.attn_logit_softcapping, config.final_logit_softcapping),
      queryKeyNorm: "head",
      attention: perLayer(base.depth, (l) => ({
        scale: scaleOf(config),
        rope: local[l] === true ? localRope : rope,
        ...LlamaLike.reachOf(window, local[l]),
      })),
      layer: (l) => ({
        ...llamaProjections(l, biases),
        norms: llamaNorms(l, { ...sandwich, ...headNorms }),
      }),
    }
  }),
)
