/**
 * StableLM 2 (2024): a Llama with layer norms and a partly rotated head; some run attention and MLP in parallel.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { Epsilon, llamaLike, missing, perLayer, PositiveNumber } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { llamaNorms, llamaProjections, llamaTensors, preNorms } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  layer_norm_eps: optional(Epsilon),
  partial_rotary_factor: optional(PositiveNumber),
  use_qkv_bias: optional(Schema.Boolean),
  qk_layernorm: optional(Schema.Boolean),
  use_parallel_residual: optional(Schema.Boolean),
})

export const stablelm = decoder(
  "stablelm",
  Config,
  Effect.fnUntraced(function* (config) {
    if (config.qk_layernorm === true) {
      return yield* Effect.fail(missing("qk_layernorm", "false"))
    }
    const partial = config.partial_rotary_factor ?? 0.25
    const { base, rope } = yield* LlamaLike.read(config, {
      kvHeads: 32,
      maxPositions: 4096,
      partial,
      bos: 0,
      eos: 0,
    })
    const parallel = config.use_parallel_residual ?? false
    return {
      ...base,
      norm: "layer",
      normEps: config.layer_norm_eps ?? 1e-5,
      parallel,
      attention: perLayer(base.depth, () => ({ scale: LlamaLike.usualScale(base), rope })),
      tensors: llamaTensors(base.tiedEmbeddings, true),
      layer: (l) => ({
        ...llamaProjections(l, { attention: config.use_qkv_bias ?? false }),
        norms: llamaNorms(l, parallel ? { attentionInput: "input_layernorm" } : preNorms, true),
      }),
    }
  }),
)
