/**
 * GPT-NeoX (Black et al., 2022) and Pythia: layer norms, a partly rotated head, attention and MLP in parallel behind a
 * norm each; query, key and value of one head lie together, head after head.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { common, Epsilon, perLayer, PositiveNumber, ropeKeys, sizes } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { linear, norm } from "./Tensors.ts"

// Every head has its own key and value, and rotary positions have names of their own in older configs.
const { head_dim: _headDim, num_key_value_heads: _kvHeads, ...ownSizes } = sizes
const { rope_theta: _theta, ...ownRope } = ropeKeys

const Config = Schema.Struct({
  ...common,
  ...ownSizes,
  ...ownRope,
  layer_norm_eps: optional(Epsilon),
  rotary_pct: optional(PositiveNumber),
  rotary_emb_base: optional(PositiveNumber),
  use_parallel_residual: optional(Schema.Boolean),
})

export const gptNeox = decoder(
  "gpt_neox",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, {
      activation: "gelu",
      partial: config.rotary_pct ?? 0.25,
      theta: config.rotary_emb_base ?? 10_000,
      bos: 0,
      eos: 2,
    })
    const { headDim, heads } = base
    const biased = config.attention_bias ?? true
    const embedding = "gpt_neox.embed_in.weight"
    return {
      ...base,
      norm: "layer",
      normEps: config.layer_norm_eps ?? 1e-5,
      parallel: config.use_parallel_residual ?? true,
      attention: perLayer(base.depth, () => ({ scale: LlamaLike.usualScale(base), rope })),
      tensors: {
        embedding,
        finalNorm: norm("gpt_neox.final_layer_norm", true),
        head: base.tiedEmbeddings ? embedding : "embed_out.weight",
      },
      layer: (l) => {
        const at = `gpt_neox.layers.${l}`
        const qkv = (part: number) => ({
          ...linear(`${at}.attention.query_key_value`, biased),
          layout: { total: 3 * heads * headDim, offset: part * headDim, stride: 3 * headDim },
        })
        return {
          query: qkv(0),
          key: qkv(1),
          value: qkv(2),
          output: linear(`${at}.attention.dense`, biased),
          up: linear(`${at}.mlp.dense_h_to_4h`, true),
          down: linear(`${at}.mlp.dense_4h_to_h`, true),
          norms: {
            attentionInput: norm(`${at}.input_layernorm`, true),
            mlpInput: norm(`${at}.post_attention_layernorm`, true),
          },
        }
      },
    }
  }),
)
