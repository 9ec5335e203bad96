/**
 * What Llama's descendants read alike: sizes, tokens and one rope for all layers.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Activation, Rope } from "./ModelShape.ts"
import { activation, type common, type Problem, type ropeKeys, type sizes } from "./Config.ts"
import * as Ropes from "./Rope.ts"
import type { Biases } from "./Tensors.ts"

type Keys<F extends Schema.Struct.Fields> = Schema.Struct<F>["Type"]

/** Defaults of a family's configuration class, where they are not Llama's. */
export interface Defaults {
  readonly kvHeads?: number
  readonly headDim?: number
  readonly maxPositions?: number
  readonly theta?: number
  readonly tied?: boolean
  readonly activation?: string
  /** Begin- and end-of-sequence tokens; absent: none. */
  readonly bos?: number
  readonly eos?: number
  /** The share of a head that is rotated; absent: all of it, always. */
  readonly partial?: number | undefined
  readonly pairs?: Rope["pairs"]
}

/** Begin- and end-of-sequence tokens of a config; those by default are none where the vocabulary ends before them. */
export const tokenIds = (
  config: Pick<Keys<typeof common>, "bos_token_id" | "eos_token_id" | "vocab_size">,
  defaults: Pick<Defaults, "bos" | "eos"> = {},
) => {
  const usual = (id: number | undefined) => (id !== undefined && id < config.vocab_size ? id : null)
  const { bos_token_id: bos = usual(defaults.bos), eos_token_id: eos = usual(defaults.eos) } = config
  return {
    eosTokenIds: typeof eos === "number" ? [eos] : (eos ?? []),
    ...(typeof bos === "number" ? { bosTokenId: bos } : {}),
  }
}

/** Entries of a head: those given, else an equal share of the hidden state. */
export const headDimOf = (
  hiddenSize: number,
  heads: number,
  given?: number | null,
): Effect.Effect<number, string> => {
  const headDim = given ?? hiddenSize / heads
  return Number.isInteger(headDim)
    ? Effect.succeed(headDim)
    : Effect.fail(`head_dim is absent and hidden_size ${hiddenSize} is no multiple of ${heads} heads`)
}

/** Sizes, tokens, activation, and the rope all layers would have. */
export const read = Effect.fnUntraced(function* (
  config: Keys<typeof common & typeof sizes & typeof ropeKeys>,
  defaults: Defaults = {},
): Effect.fn.Return<{ readonly base: Base; readonly rope: Rope }, Problem> {
  const heads = config.num_attention_heads
  const headDim = yield* headDimOf(config.hidden_size, heads, config.head_dim ?? defaults.headDim)
  const maxPositions = config.max_position_embeddings ?? defaults.maxPositions ?? 2048
  const { partial } = defaults
  const base: Base = {
    vocabSize: config.vocab_size,
    hiddenSize: config.hidden_size,
    depth: config.num_hidden_layers,
    heads,
    // Null is as many as there are heads, whatever the class has where the key is absent.
    kvHeads:
      (config.num_key_value_heads === undefined ? defaults.kvHeads : config.num_key_value_heads) ?? heads,
    headDim,
    intermediateSize: config.intermediate_size,
    maxPositions,
    tiedEmbeddings: config.tie_word_embeddings ?? defaults.tied ?? false,
    activation: yield* activation("hidden_act", config.hidden_act ?? defaults.activation ?? "silu"),
    ...tokenIds(config, defaults),
  }
  const options = { headDim, theta: defaults.theta ?? 10_000, pairs: defaults.pairs ?? "halves" } as const
  const entry = yield* Ropes.entryOf(config)
  const rope = yield* Ropes.read(
    entry,
    partial === undefined ? options : { ...options, partial },
    maxPositions,
  )
  return { base, rope }
})

/** What `read` gives for every decoder. */
export interface Base {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly depth: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly intermediateSize: number
  readonly maxPositions: number
  readonly tiedEmbeddings: boolean
  readonly activation: Activation
  readonly bosTokenId?: number
  readonly eosTokenIds: ReadonlyArray<number>
}

/** The biases that `attention_bias` and `mlp_bias` ask for; none unless said. */
export const biasesOf = ({
  attention_bias: attention,
  mlp_bias: mlp,
}: {
  readonly attention_bias?: boolean | null
  readonly mlp_bias?: boolean | null
}): Biases => ({ attention: attention ?? false, output: attention ?? false, mlp: mlp ?? false })

/** 1 / √headDim, what most attention scores are multiplied by. */
export const usualScale = ({ headDim }: Pick<Base, "headDim">): number => headDim ** -0.5

/** A window of `size` positions, the query's own included, as the reach of a layer. */
export const reachOf = (size: number | null | undefined, has = true): { readonly reach?: number } =>
  has && typeof size === "number" ? { reach: size - 1 } : {}
