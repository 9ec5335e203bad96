/**
 * SmolLM3 (2025): a Llama in which every few layers do without rotary positions (Yang et al., 2025).
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { llamaLike, perLayer, Positive, windowed, windowKeys } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { llamaLayout } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  ...windowKeys,
  mlp_bias: optional(Schema.Boolean),
  use_sliding_window: optional(Schema.Boolean),
  /** 1 for layers that rotate, 0 for those that do not, whatever the name suggests. */
  no_rope_layers: optional(Schema.Array(Schema.Literals([0, 1]))),
  no_rope_layer_interval: optional(Positive),
})

export const smollm3 = decoder(
  "smollm3",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, {
      kvHeads: 4,
      maxPositions: 32_768,
      theta: 2e6,
      tied: true,
      bos: 128_000,
      eos: 128_001,
    })
    const interval = config.no_rope_layer_interval ?? 4
    const rotates =
      config.no_rope_layers?.map((flag) => flag === 1) ??
      perLayer(base.depth, (l) => (l + 1) % interval !== 0)
    if (rotates.length !== base.depth) {
      return yield* Effect.fail(`no_rope_layers has ${rotates.length} entries, expected ${base.depth}`)
    }
    const window = config.use_sliding_window === true ? config.sliding_window : null
    const local = yield* windowed(base.depth, config.layer_types, (l) => rotates[l] === false)
    return {
      ...base,
      norm: "rms",
      normEps: config.rms_norm_eps ?? 1e-6,
      attention: perLayer(base.depth, (l) => ({
        scale: LlamaLike.usualScale(base),
        ...(rotates[l] === true ? { rope } : {}),
        ...LlamaLike.reachOf(window, local[l]),
      })),
      ...llamaLayout(base.tiedEmbeddings, LlamaLike.biasesOf(config)),
    }
  }),
)
