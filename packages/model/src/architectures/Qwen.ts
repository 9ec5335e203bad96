/**
 * Qwen2 (Yang et al., 2024) and Qwen3 (2025): Llamas with biases on query, key and value, or with norms on each head's
 * queries and keys; some checkpoints give their later layers a window.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { Index, llamaLike, perLayer, windowed, windowKeys } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { headNorms, llamaNorms, llamaProjections, llamaTensors, preNorms } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  ...windowKeys,
  use_sliding_window: optional(Schema.Boolean),
  max_window_layers: optional(Index),
})

const read = Effect.fnUntraced(function* (config: typeof Config.Type, defaults: LlamaLike.Defaults) {
  const { base, rope } = yield* LlamaLike.read(config, { maxPositions: 32_768, ...defaults })
  const { sliding_window: given = 4096 } = config
  const window = config.use_sliding_window === true ? given : null
  const local = yield* windowed(base.depth, config.layer_types, (l) => l >= (config.max_window_layers ?? 28))
  return {
    ...base,
    norm: "rms" as const,
    normEps: config.rms_norm_eps ?? 1e-6,
    attention: perLayer(base.depth, (l) => ({
      scale: LlamaLike.usualScale(base),
      rope,
      ...LlamaLike.reachOf(window, local[l]),
    })),
    tensors: llamaTensors(base.tiedEmbeddings),
  }
})

export const qwen2 = decoder(
  "qwen2",
  Config,
  Effect.fnUntraced(function* (config) {
    return {
      ...(yield* read(config, { kvHeads: 32 })),
      layer: (l) => ({ ...llamaProjections(l, { attention: true }), norms: llamaNorms(l, preNorms) }),
    }
  }),
)

export const qwen3 = decoder(
  "qwen3",
  Config,
  Effect.fnUntraced(function* (config) {
    const biases = LlamaLike.biasesOf(config)
    return {
      ...(yield* read(config, { kvHeads: 32, headDim: 128 })),
      queryKeyNorm: "head",
      layer: (l) => ({
        ...llamaProjections(l, biases),
        norms: llamaNorms(l, { ...preNorms, ...headNorms }),
      }),
    }
  }),
)
