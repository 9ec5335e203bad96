/** The result's config.json: the donor's, with what the merge changed; its bytes where nothing changed. */
import type { ModelConfig } from "@hila/model"

/** What a merge may change. */
export interface Changes {
  /** By the name configs use: `bfloat16`. */
  readonly dtype: string | undefined
  readonly layers: number | undefined
  readonly vocabulary: number | undefined
}

const layerKeys = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"]

/** The config with the changes, or undefined where it already says all that. */
export const changed = (
  config: ModelConfig.ModelConfig,
  { dtype, layers, vocabulary }: Changes,
): Readonly<Record<string, unknown>> | undefined => {
  const next: Record<string, unknown> = { ...config }
  if (dtype !== undefined) {
    const keys = ["dtype", "torch_dtype"].filter((key) => typeof config[key] === "string")
    for (const key of keys.length === 0 ? ["torch_dtype"] : keys) next[key] = dtype
  }
  const layerKey = layerKeys.find((key) => typeof config[key] === "number")
  if (layers !== undefined && layerKey !== undefined) next[layerKey] = layers
  if (vocabulary !== undefined) next["vocab_size"] = vocabulary
  return JSON.stringify(next) === JSON.stringify(config) ? undefined : next
}
