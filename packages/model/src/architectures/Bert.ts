/**
 * BERT (Devlin et al., 2019), RoBERTa (Liu et al., 2019), XLM-RoBERTa (Conneau et al., 2020) and DistilBERT (Sanh et
 * al., 2019) with sequence classification heads: absolute positions, norms behind each addition.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import type { EncoderShape } from "./ModelShape.ts"
import { classifierKeys, labels } from "./Classifier.ts"
import { activation, Epsilon, missing, perLayer, Positive, type Problem } from "./Config.ts"
import { headDimOf } from "./LlamaLike.ts"
import { encoder, type EncoderDescription } from "./Record.ts"
import { linear, norm } from "./Tensors.ts"

const Config = Schema.Struct({
  ...classifierKeys,
  hidden_size: Positive,
  intermediate_size: Positive,
  num_hidden_layers: Positive,
  num_attention_heads: Positive,
  hidden_act: optional(Schema.String),
  layer_norm_eps: optional(Epsilon),
  max_position_embeddings: optional(Positive),
  type_vocab_size: optional(Positive),
  position_embedding_type: optional(Schema.String),
  is_decoder: optional(Schema.Boolean),
})

/** The head behind a model, by the prefix of the model's tensors. */
type Classifier = (names: ReadonlyArray<string>) => EncoderShape["classifier"]

const read = Effect.fnUntraced(function* (
  config: typeof Config.Type,
  prefix: string,
  firstPosition: number,
  classifier: Classifier,
): Effect.fn.Return<EncoderDescription, Problem> {
  const { position_embedding_type: positions = "absolute" } = config
  if (positions !== "absolute" && positions !== null) {
    return yield* Effect.fail(missing(`position_embedding_type '${positions}'`, "absolute"))
  }
  if (config.is_decoder === true) {
    return yield* Effect.fail(missing("is_decoder", "false"))
  }
  const [hiddenSize, heads] = [config.hidden_size, config.num_attention_heads]
  const headDim = yield* headDimOf(hiddenSize, heads)
  const embeddings = `${prefix}.embeddings`
  return {
    vocabSize: config.vocab_size,
    hiddenSize,
    depth: config.num_hidden_layers,
    heads,
    kvHeads: heads,
    headDim,
    intermediateSize: config.intermediate_size,
    maxPositions: (config.max_position_embeddings ?? 512) - firstPosition,
    firstPosition,
    norm: "layer",
    normEps: config.layer_norm_eps ?? 1e-12,
    activation: yield* activation("hidden_act", config.hidden_act ?? "gelu"),
    attention: perLayer(config.num_hidden_layers, () => ({ scale: headDim ** -0.5 })),
    tensors: {
      embedding: `${embeddings}.word_embeddings.weight`,
      positions: `${embeddings}.position_embeddings.weight`,
      segments: {
        weight: `${embeddings}.token_type_embeddings.weight`,
        kinds: config.type_vocab_size ?? 2,
      },
      embeddingNorm: norm(`${embeddings}.LayerNorm`, true),
    },
    layer: (l) => {
      const at = `${prefix}.encoder.layer.${l}`
      return {
        query: linear(`${at}.attention.self.query`, true),
        key: linear(`${at}.attention.self.key`, true),
        value: linear(`${at}.attention.self.value`, true),
        output: linear(`${at}.attention.output.dense`, true),
        up: linear(`${at}.intermediate.dense`, true),
        down: linear(`${at}.output.dense`, true),
        norms: {
          attentionSum: norm(`${at}.attention.output.LayerNorm`, true),
          mlpSum: norm(`${at}.output.LayerNorm`, true),
        },
      }
    },
    classifier: classifier(yield* labels(config)),
  }
})

export const bert = encoder("bert", Config, (config) =>
  read(config, "bert", 0, (names) => ({
    pooling: "first",
    dense: linear("bert.pooler.dense", true),
    activation: "tanh",
    output: linear("classifier", true),
    labels: names,
  })),
)

/** RoBERTa counts positions from behind that of the padding token. */
const robertaLike = (modelType: string) =>
  encoder(
    modelType,
    Config,
    Effect.fnUntraced(function* (config) {
      const paddingToken = config.pad_token_id ?? 1
      const description = yield* read(config, "roberta", paddingToken + 1, (names) => ({
        pooling: "first",
        dense: linear("classifier.dense", true),
        activation: "tanh",
        output: linear("classifier.out_proj", true),
        labels: names,
      }))
      return { ...description, paddingToken }
    }),
  )

export const roberta = robertaLike("roberta")
export const xlmRoberta = robertaLike("xlm-roberta")

const DistilConfig = Schema.Struct({
  ...classifierKeys,
  dim: Positive,
  hidden_dim: Positive,
  n_layers: Positive,
  n_heads: Positive,
  activation: optional(Schema.String),
  max_position_embeddings: optional(Positive),
})

export const distilbert = encoder(
  "distilbert",
  DistilConfig,
  Effect.fnUntraced(function* (config) {
    const [hiddenSize, heads] = [config.dim, config.n_heads]
    const headDim = yield* headDimOf(hiddenSize, heads)
    const embeddings = "distilbert.embeddings"
    return {
      vocabSize: config.vocab_size,
      hiddenSize,
      depth: config.n_layers,
      heads,
      kvHeads: heads,
      headDim,
      intermediateSize: config.hidden_dim,
      maxPositions: config.max_position_embeddings ?? 512,
      firstPosition: 0,
      norm: "layer",
      normEps: 1e-12,
      activation: yield* activation("activation", config.activation ?? "gelu"),
      attention: perLayer(config.n_layers, () => ({ scale: headDim ** -0.5 })),
      tensors: {
        embedding: `${embeddings}.word_embeddings.weight`,
        positions: `${embeddings}.position_embeddings.weight`,
        embeddingNorm: norm(`${embeddings}.LayerNorm`, true),
      },
      layer: (l) => {
        const at = `distilbert.transformer.layer.${l}`
        return {
          query: linear(`${at}.attention.q_lin`, true),
          key: linear(`${at}.attention.k_lin`, true),
          value: linear(`${at}.attention.v_lin`, true),
          output: linear(`${at}.attention.out_lin`, true),
          up: linear(`${at}.ffn.lin1`, true),
          down: linear(`${at}.ffn.lin2`, true),
          norms: {
            attentionSum: norm(`${at}.sa_layer_norm`, true),
            mlpSum: norm(`${at}.output_layer_norm`, true),
          },
        }
      },
      classifier: {
        pooling: "first",
        dense: linear("pre_classifier", true),
        activation: "relu",
        output: linear("classifier", true),
        labels: yield* labels(config),
      },
    }
  }),
)
