/**
 * Llama: pre-norm RMSNorm, rotary attention with grouped key-value heads, SwiGLU, optional biases and tied head.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { llamaLike, perLayer } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { llamaLayout } from "./Tensors.ts"

const Config = Schema.Struct({ ...llamaLike, mlp_bias: optional(Schema.Boolean) })

export const llama = decoder(
  "llama",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, { bos: 1, eos: 2 })
    return {
      ...base,
      norm: "rms",
      normEps: config.rms_norm_eps ?? 1e-6,
      attention: perLayer(base.depth, () => ({ scale: LlamaLike.usualScale(base), rope })),
      ...llamaLayout(base.tiedEmbeddings, LlamaLike.biasesOf(config)),
    }
  }),
)
