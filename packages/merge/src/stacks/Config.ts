/** The result's config.json: the donor's, byte for byte but for the values that the merge changed. */
import { JsonText, type ModelConfig, Quantisation } from "@hila/model"
import * as Role from "./Role.ts"
import * as Sections from "./Sections.ts"
import * as Ties from "../names/Ties.ts"

/** What a merge may change, besides what slices of layers do. */
export interface Changes {
  /** By the name configs use: `bfloat16`. */
  readonly dtype: string | undefined
  readonly vocabulary: number | undefined
}

/** One value of the config. */
export interface Edit {
  readonly path: JsonText.Path
  /** Undefined takes the key out. */
  readonly value: unknown
}

/** The values that are to change, none where the config already says all that. */
export const edits = (
  config: ModelConfig.ModelConfig,
  { dtype, vocabulary: size }: Changes,
): ReadonlyArray<Edit> => {
  const dtypes = placesOf(config, ["dtype", "torch_dtype"], "string", () => true)
  const wanted: ReadonlyArray<Edit> = [
    ...(dtypes.length === 0 ? [["torch_dtype"]] : dtypes).map((path) => ({ path, value: dtype })),
    ...vocabularies(config).map((path) => ({ path, value: size })),
  ]
  return wanted.filter(({ path, value }) => value !== undefined && valueAt(config, path) !== value)
}

const isText = (path: ReadonlyArray<string>) => Role.of(path) === "text"

/** The size of the text's vocabulary as a config says it: in the text's section, else at the top. */
export const vocabulary = (config: ModelConfig.ModelConfig): number | undefined => {
  const paths = placesOf(config, ["vocab_size"], "number", isText)
  const nested = paths.find((path) => Role.halfOf(path) !== "encoder" && path.length > 1)
  const said = valueAt(config, nested ?? ["vocab_size"])
  return typeof said === "number" ? said : undefined
}

/** Where a config says the size of the text's vocabulary: at the top, in the text's section, or in both. */
const vocabularies = (config: ModelConfig.ModelConfig): ReadonlyArray<ReadonlyArray<string>> => {
  const said = vocabulary(config)
  const alike = placesOf(config, ["vocab_size", "vocab_size_per_layer_input"], "number", isText).filter(
    (path) => valueAt(config, path) === said,
  )
  return alike.length > 0 ? alike : [["vocab_size"]]
}

const placesOf = (
  config: ModelConfig.ModelConfig,
  keys: ReadonlyArray<string>,
  type: "number" | "string",
  inPath: (path: ReadonlyArray<string>) => boolean,
): ReadonlyArray<ReadonlyArray<string>> =>
  Sections.sections(config).flatMap(({ path, values }) =>
    inPath(path) ? keys.flatMap((key) => (typeof values[key] === type ? [[...path, key]] : [])) : [],
  )

const valueAt = (config: ModelConfig.ModelConfig, path: JsonText.Path): unknown =>
  Sections.section(config, path.slice(0, -1))?.[String(path.at(-1))]

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
