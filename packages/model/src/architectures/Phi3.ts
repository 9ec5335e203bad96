/**
 * Phi-3 (Abdin et al., 2024): a Llama whose query, key and value lie in one tensor, one after another, and whose gate
 * and up projections lie in another.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { llamaLike, missing, perLayer, Positive, PositiveNumber, windowKeys } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { linear, llamaNorms, llamaProjections, llamaTensors, preNorms } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  sliding_window: windowKeys.sliding_window,
  partial_rotary_factor: optional(PositiveNumber),
  original_max_position_embeddings: optional(Positive),
})

export const phi3 = decoder(
  "phi3",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, {
      maxPositions: 4096,
      bos: 1,
      eos: 32_000,
      partial: config.partial_rotary_factor ?? 1,
    })
    if (rope.scaling !== undefined)
      return yield* Effect.fail(missing(`rope type '${rope.scaling.type}' of this model type`, "default"))
    const { headDim, heads, intermediateSize, kvHeads } = base
    const attention = { scale: LlamaLike.usualScale(base), rope, ...LlamaLike.reachOf(config.sliding_window) }
    const [queries, keys] = [heads * headDim, kvHeads * headDim]
    return {
      ...base,
      norm: "rms",
      normEps: config.rms_norm_eps ?? 1e-5,
      attention: perLayer(base.depth, () => attention),
      tensors: llamaTensors(base.tiedEmbeddings),
      layer: (l) => {
        const { down, output } = llamaProjections(l)
        const qkv = (offset: number) => ({
          ...linear(`model.layers.${l}.self_attn.qkv_proj`),
          layout: { total: queries + 2 * keys, offset, stride: headDim },
        })
        const gateUp = (offset: number) => ({
          ...linear(`model.layers.${l}.mlp.gate_up_proj`),
          layout: { total: 2 * intermediateSize, offset, stride: intermediateSize },
        })
        return {
          query: qkv(0),
          key: qkv(queries),
          value: qkv(queries + keys),
          output,
          gate: gateUp(0),
          up: gateUp(intermediateSize),
          down,
          norms: llamaNorms(l, preNorms),
        }
      },
    }
  }),
)
