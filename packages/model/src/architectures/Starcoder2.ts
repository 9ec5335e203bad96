/**
 * StarCoder2 (Lozhkov et al., 2024): a Llama with layer norms, biases, a window, and an MLP without a gate.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { Epsilon, llamaLike, perLayer, windowKeys } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { linear, llamaNorms, llamaProjections, llamaTensors, preNorms } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  sliding_window: windowKeys.sliding_window,
  norm_epsilon: optional(Epsilon),
  use_bias: optional(Schema.Boolean),
})

export const starcoder2 = decoder(
  "starcoder2",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, {
      kvHeads: 2,
      maxPositions: 4096,
      tied: true,
      bos: 50_256,
      eos: 50_256,
      activation: "gelu_pytorch_tanh",
    })
    const biased = config.use_bias ?? true
    const attention = { scale: LlamaLike.usualScale(base), rope, ...LlamaLike.reachOf(config.sliding_window) }
    return {
      ...base,
      norm: "layer",
      normEps: config.norm_epsilon ?? 1e-5,
      attention: perLayer(base.depth, () => attention),
      tensors: llamaTensors(base.tiedEmbeddings, true),
      layer: (l) => {
        const { key, output, query, value } = llamaProjections(l, { attention: biased, output: biased })
        return {
          query,
          key,
          value,
          output,
          up: linear(`model.layers.${l}.mlp.c_fc`, biased),
          down: linear(`model.layers.${l}.mlp.c_proj`, biased),
          norms: llamaNorms(l, preNorms, true),
        }
      },
    }
  }),
)
