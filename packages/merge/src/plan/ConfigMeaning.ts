/**
 * What tensors of one shape mean in two models of which one has no record: by the keys of config.json, section by section.
 *
 * A key that only one config has is its class's default in the other, which nothing here knows, so only keys of both are
 * compared; but for rotation, where null, absent, `default` and the two generations of keys say the same.
 */
import type { ModelConfig } from "@hila/model"
import type { Mismatch } from "./Meaning.ts"

type Section = Readonly<Record<string, unknown>>

/** Keys by which equal tensors hold other things. */
const grave: ReadonlyArray<RegExp> = [
  /^model_type$/,
  /(?:^|_)heads?$|head_kv$|^multi_query_group_num$/,
  /head_dim$|^d_kv$|_lora_rank$|^ssm_state_size$|^state_size$|^n_groups$/,
  /^(?:hidden_act|hidden_activation|activation|activation_function|act_fn|feed_forward_proj)$/,
  /^(?:rotary_pct|rotary_dim|rope_interleaved?|position_embedding_type|alibi)$/,
  /multipliers?$|^(?:logits_scaling|logit_scale|scale_emb|scale_depth|dim_model_base|query_pre_attn_scalar)$/,
  /^(?:layer_types|layers_block_type|no_rope_layers|hybrid_override_pattern|sliding_window_pattern)$/,
  /^(?:parallel_attn|use_parallel_residual|do_layer_norm_before|is_decoder|use_bidirectional_attention)$/,
]

/** Keys of what long-context and other fine-tunes change, and what a merge of them survives. */
const told: ReadonlyArray<RegExp> = [
  /window|^attention_chunk_size$|^local_attention$/,
  /(?:^|_)eps(?:ilon)?$/,
  /softcap/,
  /^(?:num_experts_per_tok|norm_topk_prob|routed_scaling_factor|scoring_func|topk_method|topk_group|n_group)$/,
  /^rope_local_base_freq$/,
]

/** Keys of rotation, compared as one. */
const rotation = new Set(["rope_theta", "rope_scaling", "rope_parameters", "rotary_emb_base"])

const isSection = (value: unknown): value is Section =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The mismatches of `b` with `a`, grave ones first. */
export const of = (a: ModelConfig.ModelConfig, b: ModelConfig.ModelConfig): ReadonlyArray<Mismatch> => {
  const [one, other] = aligned(a, b)
  return [...between(one, other, "")].toSorted((x, y) => Number(y.grave) - Number(x.grave))
}

/** A text model is compared with the text model inside a config of several. */
const aligned = (a: Section, b: Section): readonly [Section, Section] => {
  const [inA, inB] = [a["text_config"], b["text_config"]]
  if (isSection(inA) && !isSection(inB)) return [inA, b]
  return isSection(inB) && !isSection(inA) ? [a, inB] : [a, b]
}

function* between(a: Section, b: Section, prefix: string): Generator<Mismatch> {
  for (const key of Object.keys(a)) {
    const [one, other] = [a[key], b[key]]
    if (rotation.has(key)) continue
    if (isSection(one) && isSection(other)) {
      yield* between(one, other, `${prefix}${key}.`)
      continue
    }
    const isGrave = grave.some((pattern) => pattern.test(key))
    if ((!isGrave && !told.some((pattern) => pattern.test(key))) || isSame(one, other)) continue
    if (isGrave && gelu(one) && gelu(other)) continue
    yield { what: `${prefix}${key}`, a: JSON.stringify(one), b: JSON.stringify(other), grave: isGrave }
  }
  const [first, second] = [rotationOf(a), rotationOf(b)]
  for (const key of ["theta", "partial"] as const) {
    if (isSame(first[key], second[key])) continue
    const what = `${prefix}${key === "theta" ? "rope_theta" : "partial_rotary_factor"}`
    yield { what, a: JSON.stringify(first[key]), b: JSON.stringify(second[key]), grave: key === "partial" }
  }
  if (first.scaling !== second.scaling)
    yield { what: `${prefix}rope_scaling`, a: first.scaling, b: second.scaling, grave: false }
}

/** Values that are equal, or of which one is not told. Lists of layers are compared as far as both reach. */
const isSame = (a: unknown, b: unknown): boolean => {
  if (a === undefined || b === undefined) return true
  if (!Array.isArray(a) || !Array.isArray(b)) return JSON.stringify(a) === JSON.stringify(b)
  const length = Math.min(a.length, b.length)
  return JSON.stringify(a.slice(0, length)) === JSON.stringify(b.slice(0, length))
}

const gelu = (value: unknown): boolean => typeof value === "string" && value.startsWith("gelu")

/** Rotation as either generation of configs says it; the scaling as text, `none` where there is none. */
const rotationOf = (
  section: Section,
): { readonly theta: unknown; readonly partial: unknown; readonly scaling: string } => {
  const [older, newer] = [section["rope_scaling"], section["rope_parameters"]]
  const entry = { ...(isSection(older) ? older : {}), ...(isSection(newer) ? newer : {}) }
  const { partial_rotary_factor: partial, rope_theta: theta, rope_type: type, type: oldType, ...rest } = entry
  const kind = type ?? oldType ?? "default"
  // Entries by kind of layer count as keys of a scaling and are compared as they are.
  const keys = Object.entries(rest).filter(([, value]) => value !== null)
  const scaling = kind === "default" && keys.length === 0 ? undefined : { rope_type: kind, ...rest }
  return {
    theta: theta ?? section["rope_theta"] ?? section["rotary_emb_base"] ?? undefined,
    partial: partial ?? section["partial_rotary_factor"] ?? undefined,
    scaling:
      scaling === undefined
        ? "none"
        : JSON.stringify(
            Object.fromEntries(Object.entries(scaling).toSorted(([a], [b]) => (a < b ? -1 : 1))),
          ),
  }
}
