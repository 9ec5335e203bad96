/** The result's config.json: the donor's, byte for byte but for the values that the merge changed. */
import { JsonText, type ModelConfig, Quantisation } from "@hila/model"
import * as Ties from "./Ties.ts"

/** What a merge may change. */
export interface Changes {
  /** By the name configs use: `bfloat16`. */
  readonly dtype: string | undefined
  readonly layers: number | undefined
  readonly vocabulary: number | undefined
}

/** One value of the config. */
export interface Edit {
  readonly path: JsonText.Path
  /** Undefined takes the key out. */
  readonly value: unknown
}

const layerKeys = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"]

/** The values that are to change, none where the config already says all that. */
export const edits = (
  config: ModelConfig.ModelConfig,
  { dtype, layers, vocabulary }: Changes,
): ReadonlyArray<Edit> => {
  const dtypeKeys = ["dtype", "torch_dtype"].filter((key) => typeof config[key] === "string")
  const layerKey = layerKeys.find((key) => typeof config[key] === "number")
  const wanted: ReadonlyArray<readonly [string, unknown]> = [
    ...(dtypeKeys.length === 0 ? ["torch_dtype"] : dtypeKeys).map((key) => [key, dtype] as const),
    ...(layerKey === undefined ? [] : [[layerKey, layers] as const]),
    ["vocab_size", vocabulary],
  ]
  return wanted
    .filter(([key, value]) => value !== undefined && config[key] !== value)
    .map(([key, value]) => ({ path: [key], value }))
}

/** A config that ties its head, untied. */
export const untied = (config: ModelConfig.ModelConfig): ReadonlyArray<Edit> => {
  const said = Ties.places(config).filter(({ tied }) => tied)
  const paths = said.length === 0 ? [["tie_word_embeddings"]] : said.map(({ path }) => path)
  return paths.map((path) => ({ path, value: false }))
}

/** A config without what it says of a quantisation, which plain weights do not have. */
export const plain = (config: ModelConfig.ModelConfig): ReadonlyArray<Edit> =>
  Quantisation.declared(config).map(({ path }) => ({ path, value: undefined }))

/** The text of a config with these values. */
export const edited = (text: string, changes: ReadonlyArray<Edit>): string =>
  changes.reduce(
    (before, { path, value }) =>
      value === undefined ? JsonText.remove(before, path) : JsonText.set(before, path, value),
    text,
  )
