/**
 * Granite 3 (2024): a Llama with multipliers on embeddings, scores, residual additions and logits.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { llamaLike, perLayer, PositiveNumber } from "./Config.ts"
import * as LlamaLike from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { llamaLayout } from "./Tensors.ts"

const Config = Schema.Struct({
  ...llamaLike,
  mlp_bias: optional(Schema.Boolean),
  embedding_multiplier: optional(PositiveNumber),
  attention_multiplier: optional(PositiveNumber),
  residual_multiplier: optional(PositiveNumber),
  logits_scaling: optional(PositiveNumber),
})

export const granite = decoder(
  "granite",
  Config,
  Effect.fnUntraced(function* (config) {
    const { base, rope } = yield* LlamaLike.read(config, { bos: 1, eos: 2 })
    return {
      ...base,
      norm: "rms",
      normEps: config.rms_norm_eps ?? 1e-6,
      embeddingScale: config.embedding_multiplier ?? 1,
      residualScale: config.residual_multiplier ?? 1,
      logitScale: 1 / (config.logits_scaling ?? 1),
      attention: perLayer(base.depth, () => ({ scale: config.attention_multiplier ?? 1, rope })),
      ...llamaLayout(base.tiedEmbeddings, LlamaLike.biasesOf(config)),
    }
  }),
)
