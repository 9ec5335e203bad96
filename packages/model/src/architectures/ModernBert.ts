/**
 * ModernBERT (Warner et al., 2024) with a sequence classification head: pre-norm, rotary positions, GeGLU, and most
 * layers with a window and a rope of their own; query, key and value lie in one tensor, one after another.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { classifierKeys, labels } from "./Classifier.ts"
import {
  activation,
  Epsilon,
  perLayer,
  Positive,
  PositiveNumber,
  ropeKeys,
  windowed,
  windowKeys,
} from "./Config.ts"
import { headDimOf } from "./LlamaLike.ts"
import { encoder } from "./Record.ts"
import * as Rope from "./Rope.ts"
import { linear, norm } from "./Tensors.ts"

// The base of the rotation has a name for each kind of layer.
const { rope_theta: _theta, ...ownRope } = ropeKeys

const Config = Schema.Struct({
  ...classifierKeys,
  ...ownRope,
  hidden_size: Positive,
  intermediate_size: Positive,
  num_hidden_layers: Positive,
  num_attention_heads: Positive,
  hidden_activation: optional(Schema.String),
  classifier_activation: optional(Schema.String),
  classifier_pooling: optional(Schema.Literals(["cls", "mean"])),
  classifier_bias: optional(Schema.Boolean),
  norm_eps: optional(Epsilon),
  norm_bias: optional(Schema.Boolean),
  attention_bias: optional(Schema.Boolean),
  mlp_bias: optional(Schema.Boolean),
  /** Positions a windowed layer sees, half of them on each side. */
  local_attention: optional(Positive),
  layer_types: windowKeys.layer_types,
  global_attn_every_n_layers: optional(Positive),
  global_rope_theta: optional(PositiveNumber),
  local_rope_theta: optional(PositiveNumber),
})

export const modernbert = encoder(
  "modernbert",
  Config,
  Effect.fnUntraced(function* (config) {
    const [hiddenSize, heads] = [config.hidden_size, config.num_attention_heads]
    const { intermediate_size: intermediateSize, num_hidden_layers: depth } = config
    const headDim = yield* headDimOf(hiddenSize, heads)
    const maxPositions = config.max_position_embeddings ?? 8192
    const entries = yield* Rope.byKind(
      { ...config, rope_theta: config.global_rope_theta ?? null },
      // A scaling that names no kind of layer is that of both.
      { local: { ...config.rope_scaling, rope_theta: config.local_rope_theta ?? 10_000 } },
    )
    const rope = yield* Rope.read(entries.global, { headDim, theta: 160_000 }, maxPositions)
    const localRope = yield* Rope.read(entries.local, { headDim, theta: 10_000 }, maxPositions)
    const every = config.global_attn_every_n_layers ?? 3
    const local = yield* windowed(depth, config.layer_types, (l) => l % every !== 0)
    const reach = Math.floor((config.local_attention ?? 128) / 2)
    const scale = headDim ** -0.5
    const biased = config.norm_bias ?? false
    return {
      vocabSize: config.vocab_size,
      hiddenSize,
      depth,
      heads,
      kvHeads: heads,
      headDim,
      intermediateSize,
      maxPositions,
      firstPosition: 0,
      norm: "layer",
      normEps: config.norm_eps ?? 1e-5,
      activation: yield* activation("hidden_activation", config.hidden_activation ?? "gelu"),
      attention: perLayer(depth, (l) =>
        local[l] === true ? { scale, rope: localRope, reach } : { scale, rope },
      ),
      tensors: {
        embedding: "model.embeddings.tok_embeddings.weight",
        embeddingNorm: norm("model.embeddings.norm", biased),
        finalNorm: norm("model.final_norm", biased),
      },
      layer: (l) => {
        const at = `model.layers.${l}`
        const qkv = (part: number) => ({
          ...linear(`${at}.attn.Wqkv`, config.attention_bias ?? false),
          layout: { total: 3 * hiddenSize, offset: part * hiddenSize, stride: headDim },
        })
        const gateUp = (offset: number) => ({
          ...linear(`${at}.mlp.Wi`, config.mlp_bias ?? false),
          layout: { total: 2 * intermediateSize, offset, stride: intermediateSize },
        })
        return {
          query: qkv(0),
          key: qkv(1),
          value: qkv(2),
          output: linear(`${at}.attn.Wo`, config.attention_bias ?? false),
          gate: gateUp(0),
          up: gateUp(intermediateSize),
          down: linear(`${at}.mlp.Wo`, config.mlp_bias ?? false),
          norms: {
            // The embeddings are normalised already.
            ...(l === 0 ? {} : { attentionInput: norm(`${at}.attn_norm`, biased) }),
            mlpInput: norm(`${at}.mlp_norm`, biased),
          },
        }
      },
      classifier: {
        pooling: config.classifier_pooling === "mean" ? "mean" : "first",
        dense: linear("head.dense", config.classifier_bias ?? false),
        activation: yield* activation("classifier_activation", config.classifier_activation ?? "gelu"),
        norm: norm("head.norm", biased),
        output: linear("classifier", true),
        labels: yield* labels(config),
      },
    }
  }),
)
