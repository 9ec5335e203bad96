/** A config.json of the newer generation as the older one would have written it. */
import type { ModelConfig } from "../../src/index.ts"

type Json = Readonly<Record<string, unknown>>

const without = (json: Json, ...keys: ReadonlyArray<string>): Json =>
  Object.fromEntries(Object.entries(json).filter(([key]) => !keys.includes(key)))

/** What each family called its parts of `rope_parameters` before there was one. */
const ropeKeys = (modelType: string, rope: Json): Json => {
  const global = rope["full_attention"] as Json | undefined
  const local = rope["sliding_attention"] as Json | undefined
  if (global !== undefined && local !== undefined) {
    return modelType === "modernbert"
      ? { global_rope_theta: global["rope_theta"], local_rope_theta: local["rope_theta"] }
      : { rope_theta: global["rope_theta"], rope_local_base_freq: local["rope_theta"], rope_scaling: null }
  }
  const { partial_rotary_factor: partial, rope_theta: theta, rope_type: type, ...scaling } = rope
  if (modelType === "gpt_neox") return { rotary_pct: partial, rotary_emb_base: theta }
  return {
    rope_theta: theta,
    ...(partial === undefined ? {} : { partial_rotary_factor: partial }),
    // The oldest configs say `type`, later ones `rope_type`.
    rope_scaling:
      type === "default" ? null : { [type === "llama3" ? "rope_type" : "type"]: type, ...scaling },
  }
}

export const oldConfig = (config: ModelConfig.ModelConfig): ModelConfig.ModelConfig => {
  const { dtype, rope_parameters: rope } = config
  const kept = without(config, "dtype", "rope_parameters", "layer_types", "transformers_version")
  const positions = rope === undefined ? {} : ropeKeys(config.model_type, rope as Json)
  return { ...kept, model_type: config.model_type, torch_dtype: dtype ?? null, ...positions }
}
