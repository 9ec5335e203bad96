/**
 * What records read of a config.json: the keys most decoders share, and how a record refuses.
 *
 * Absent keys have the defaults of transformers 5's configuration class for that model type, whatever version wrote the
 * file: that is what loads it today. (Classes of 4.57 differ in one of these, Cohere's rotary base, which they always
 * wrote.) Null is what the class makes of it, where it is not refused there; there it is as if absent. What no
 * graph computes is refused with a line that says what is missing.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ModelConfig, oneLine, optional } from "../checkpoint/ModelConfig.ts"
import { ArchitectureError } from "../ModelError.ts"
import type { Activation } from "./ModelShape.ts"

export const Positive = Schema.Int.check(Schema.isGreaterThan(0))
export const Index = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
export const PositiveNumber = Schema.Finite.check(Schema.isGreaterThan(0))
export const Epsilon = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** Keys of every decoder, whatever else its family calls differently. */
export const common = {
  model_type: Schema.String,
  vocab_size: Positive,
  tie_word_embeddings: optional(Schema.Boolean),
  bos_token_id: optional(Index),
  eos_token_id: optional(Schema.Union([Index, Schema.Array(Index)])),
}

/** Where rotary positions are described, in both generations. */
export const ropeKeys = {
  rope_parameters: optional(Schema.Record(Schema.String, Schema.Unknown)),
  rope_scaling: optional(Schema.Record(Schema.String, Schema.Unknown)),
  rope_theta: optional(PositiveNumber),
  max_position_embeddings: optional(Positive),
}

/** Sizes under the names Llama gave them. */
export const sizes = {
  hidden_size: Positive,
  intermediate_size: Positive,
  num_hidden_layers: Positive,
  num_attention_heads: Positive,
  num_key_value_heads: optional(Positive),
  head_dim: optional(Positive),
  hidden_act: optional(Schema.String),
  attention_bias: optional(Schema.Boolean),
}

/** Windows, and which layers have one. */
export const windowKeys = {
  sliding_window: optional(Positive),
  layer_types: optional(Schema.Array(Schema.Literals(["full_attention", "sliding_attention"]))),
}

/** The keys of a model that is a Llama but for details. */
export const llamaLike = {
  ...common,
  ...sizes,
  ...ropeKeys,
  rms_norm_eps: optional(Epsilon),
}

/** What a config asks for and no graph computes: the model may be sound, and does not run here. */
export interface Unsupported {
  readonly unsupported: string
}

/** Why a record has no shape for a config: what is wrong with it, or what is missing here. */
export type Problem = string | Unsupported

/** Names what is missing, and what there is. */
export const missing = (what: string, supported: string): Unsupported => ({
  unsupported: `${what} is not supported; supported: ${supported}`,
})

const expertKeys = [
  "num_local_experts",
  "num_experts",
  "n_routed_experts",
  "moe_num_experts",
  "moe_intermediate_size",
]

/** The first thing a config asks for that no graph computes, whatever the model type. */
const unsupported = (config: ModelConfig): Unsupported | undefined => {
  const experts = expertKeys.find((key) => typeof config[key] === "number" && config[key] > 1)
  if (experts !== undefined) {
    return {
      unsupported: `${experts} ${String(config[experts])} asks for a mixture of experts, and no layer here routes tokens to experts`,
    }
  }
  return config["add_cross_attention"] === true ? missing("add_cross_attention", "false") : undefined
}

/** Decodes a config by a record's schema; fails with one line that names the key. */
export const decode = <A>(
  config: ModelConfig,
  by: (config: unknown) => Effect.Effect<A, { readonly message: string }>,
): Effect.Effect<A, Problem> => {
  const problem = unsupported(config)
  return problem === undefined
    ? Effect.mapError(by(config), ({ message }) => oneLine(message))
    : Effect.fail(problem)
}

/** A record's problem as the error users see. */
export const refuse =
  (modelType: string) =>
  (problem: Problem): ArchitectureError =>
    typeof problem === "string"
      ? new ArchitectureError({ modelType, kind: "wrong", problem })
      : new ArchitectureError({ modelType, kind: "unsupported", problem: problem.unsupported })

const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu_fast: "geluTanh",
  relu: "relu",
  tanh: "tanh",
}

/** The activation a config names under `key`. */
export const activation = (key: string, name: string): Effect.Effect<Activation, Problem> => {
  const known = Object.hasOwn(activations, name) ? activations[name] : undefined
  return known === undefined
    ? Effect.fail(missing(`${key} '${name}'`, Object.keys(activations).join(", ")))
    : Effect.succeed(known)
}

/** One entry per layer. */
export const perLayer = <A>(layers: number, of: (l: number) => A): ReadonlyArray<A> =>
  Array.from({ length: layers }, (_, l) => of(l))

/** Which layers have a window: as `layer_types` says where it is given, else by `rule`. */
export const windowed = (
  layers: number,
  types: ReadonlyArray<string> | null | undefined,
  rule: (l: number) => boolean,
): Effect.Effect<ReadonlyArray<boolean>, string> =>
  types !== null && types !== undefined && types.length !== layers
    ? Effect.fail(`layer_types has ${types.length} entries, expected one for each of ${layers} layers`)
    : Effect.succeed(
        perLayer(layers, (l) =>
          types === null || types === undefined ? rule(l) : types[l] === "sliding_attention",
        ),
      )
