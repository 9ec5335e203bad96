/**
 * Command R (Cohere, 2024): attention and MLP in parallel behind one layer norm without bias, rotary pairs of
 * neighbours, scaled logits.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { Epsilon, llamaLike, missing, perLayer, PositiveNumber } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { llamaNorms, llamaProjections, llamaTensors } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  layer_norm_eps: optional(Epsilon),
  logit_scale: optional(PositiveNumber),
  use_qk_norm: optional(Schema.Boolean),
})

export const cohere = decoder(
  "cohere",
  Config,
  Effect.fnUntraced(function* (config) {
    if (config.use_qk_norm === true) {
      return yield* Effect.fail(missing("use_qk_norm", "false"))
    }
    const { base, rope } = yield* LlamaLike.read(config, {
      maxPositions: 8192,
      theta: 500_000,
      tied: true,
      bos: 5,
      eos: 255_001,
      pairs: "neighbours",
    })
    const biases = LlamaLike.biasesOf(config)
    return {
      ...base,
      norm: "layer",
      normEps: config.layer_norm_eps ?? 1e-5,
      parallel: true,
      logitScale: config.logit_scale ?? 0.0625,
      attention: perLayer(base.depth, () => ({ scale: LlamaLike.usualScale(base), rope })),
      tensors: llamaTensors(base.tiedEmbeddings),
      layer: (l) => ({
        ...llamaProjections(l, biases),
        norms: llamaNorms(l, { attentionInput: "input_layernorm" }),
      }),
    }
  }),
)
