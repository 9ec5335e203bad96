/**
 * GPT-2 (Radford et al., 2019): layer norms, absolute positions, no gate; linear layers are stored `[in, out]`, and
 * query, key and value lie in one tensor, one after another.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { activation, common, Epsilon, perLayer, Positive } from "./Config.ts"
import { headDimOf, tokenIds } from "./LlamaLike.ts"
import { decoder } from "./Record.ts"
import { linear, norm } from "./Tensors.ts"

const Config = Schema.Struct({
  ...common,
  n_embd: Positive,
  n_head: Positive,
  n_layer: Positive,
  n_positions: optional(Positive),
  n_inner: optional(Positive),
  activation_function: optional(Schema.String),
  layer_norm_epsilon: optional(Epsilon),
  scale_attn_weights: optional(Schema.Boolean),
  scale_attn_by_inverse_layer_idx: optional(Schema.Boolean),
})

export const gpt2 = decoder(
  "gpt2",
  Config,
  Effect.fnUntraced(function* (config, has) {
    const [hiddenSize, heads] = [config.n_embd, config.n_head]
    const headDim = yield* headDimOf(hiddenSize, heads)
    const scale = config.scale_attn_weights === false ? 1 : headDim ** -0.5
    // The first published weights have no prefix.
    const root = has("wte.weight") && !has("transformer.wte.weight") ? "" : "transformer."
    const tied = config.tie_word_embeddings ?? true
    const inverse = config.scale_attn_by_inverse_layer_idx === true
    return {
      vocabSize: config.vocab_size,
      hiddenSize,
      depth: config.n_layer,
      heads,
      kvHeads: heads,
      headDim,
      intermediateSize: config.n_inner ?? 4 * hiddenSize,
      maxPositions: config.n_positions ?? 1024,
      tiedEmbeddings: tied,
      ...tokenIds(config, { bos: 50_256, eos: 50_256 }),
      norm: "layer",
      normEps: config.layer_norm_epsilon ?? 1e-5,
      activation: yield* activation("activation_function", config.activation_function ?? "gelu_new"),
      attention: perLayer(config.n_layer, (l) => ({ scale: inverse ? scale / (l + 1) : scale })),
      tensors: {
        embedding: `${root}wte.weight`,
        positions: `${root}wpe.weight`,
        finalNorm: norm(`${root}ln_f`, true),
        head: tied ? `${root}wte.weight` : "lm_head.weight",
      },
      layer: (l) => {
        const at = `${root}h.${l}`
        const stored = (name: string) => ({ ...linear(`${at}.${name}`, true), transposed: true as const })
        const qkv = (offset: number) => ({
          ...stored("attn.c_attn"),
          layout: { total: 3 * hiddenSize, offset, stride: headDim },
        })
        return {
          query: qkv(0),
          key: qkv(hiddenSize),
          value: qkv(2 * hiddenSize),
          output: stored("attn.c_proj"),
          up: stored("mlp.c_fc"),
          down: stored("mlp.c_proj"),
          norms: { attentionInput: norm(`${at}.ln_1`, true), mlpInput: norm(`${at}.ln_2`, true) },
        }
      },
    }
  }),
)
