/**
 * OLMo 2 (2025): a Llama with norms behind attention and MLP instead of in front, and norms over all queries and over
 * all keys of a position.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { llamaLike, perLayer } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { headNorms, llamaNorms, llamaProjections, llamaTensors } from "./Tensors.ts"

const norms = {
  ...headNorms,
  attentionOutput: "post_attention_layernorm",
  mlpOutput: "post_feedforward_layernorm",
}

export const olmo2 = decoder(
  "olmo2",
  Schema.Struct(llamaLike),
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, { eos: 50_279 })
    const biases = LlamaLike.biasesOf(config)
    return {
      ...base,
      norm: "rms",
      normEps: config.rms_norm_eps ?? 1e-5,
      queryKeyNorm: "whole",
      attention: perLayer(base.depth, () => ({ scale: LlamaLike.usualScale(base), rope })),
      tensors: llamaTensors(base.tiedEmbeddings),
      layer: (l) => ({
        ...llamaProjections(l, biases),
        norms: llamaNorms(l, norms),
      }),
    }
  }),
)
