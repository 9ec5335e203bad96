/**
 * Mistral (Jiang et al., 2023): a Llama whose layers see a window of keys.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { llamaLike, perLayer, windowKeys } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { llamaLayout } from "./Tensors.ts"

const Config = Schema.Struct({ ...llamaLike, sliding_window: windowKeys.sliding_window })

export const mistral = decoder(
  "mistral",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, {
      kvHeads: 8,
      maxPositions: 131_072,
      bos: 1,
      eos: 2,
    })
    // A window that is null is none; a config that does not speak of it means the first Mistral's.
    const window = config.sliding_window === undefined ? 4096 : config.sliding_window
    const attention = { scale: LlamaLike.usualScale(base), rope, ...LlamaLike.reachOf(window) }
    return {
      ...base,
      norm: "rms",
      normEps: config.rms_norm_eps ?? 1e-6,
      attention: perLayer(base.depth, () => attention),
      ...llamaLayout(base.tiedEmbeddings),
    }
  }),
)
