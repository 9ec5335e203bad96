/** Models of a few tensors with tokenizers of a few tokens, for tests of vocabularies. */
import { Checkpoint, Dtype, SafetensorsWriter } from "@hila/model"
import { mergeRecipe } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"

/** An added token with flags that are all off but `special`. */
export const addedToken = (content: string, id: number, flags: Readonly<Record<string, boolean>> = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...flags,
})

/** A tokenizer.json of whole words in the order of their ids; those like `<this>` are added tokens as well. */
export const words = (tokens: ReadonlyArray<string>) => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: tokens.flatMap((token, id) => (/^<.*>$/.test(token) ? [addedToken(token, id)] : [])),
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordLevel",
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    unk_token: tokens[0],
  },
})

/** Numbers, or numbers in lists, as safetensors has them. */
export type Values = number | ReadonlyArray<Values>

const isList = (values: Values): values is ReadonlyArray<Values> => typeof values !== "number"

const shapeOf = (values: Values): ReadonlyArray<number> =>
  isList(values) ? [values.length, ...(values[0] === undefined ? [] : shapeOf(values[0]))] : []

const flat = (values: Values): ReadonlyArray<number> => (isList(values) ? values.flatMap(flat) : [values])

/** A matrix whose row `id` is `id + offset`, twice. */
export const rows = (count: number, offset = 0): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: count }, (_, id) => [id + offset, id + offset])

/** A model to write: its tensors by name, and its files, JSON or text. */
export interface Tiny {
  readonly tensors: Readonly<Record<string, Values>>
  readonly dtype?: Dtype.FloatDtype
  readonly config?: Readonly<Record<string, unknown>>
  readonly files?: Readonly<Record<string, unknown>>
}

/** Writes a model, of a type that has no architecture record unless its config says another. */
export const write = Effect.fnUntraced(function* (
  directory: string,
  { config = {}, dtype = "F32", files = {}, tensors }: Tiny,
) {
  yield* Effect.promise(async () => {
    await mkdir(directory, { recursive: true })
    const all = { "config.json": { model_type: "tiny", ...config }, ...files }
    for (const [name, content] of Object.entries(all)) {
      await writeFile(join(directory, name), typeof content === "string" ? content : JSON.stringify(content))
    }
  })
  yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
    tensors: Object.entries(tensors).map(([name, values]) => ({ name, dtype, shape: shapeOf(values) })),
    data: ({ name }, put) => put(Dtype.fromFloat32(Float32Array.from(flat(tensors[name] ?? [])), dtype)),
  })
})

/** Merges models of a directory by a recipe, and reads tensors of the result as rows. */
export const merge = Effect.fnUntraced(function* (directory: string, recipe: string) {
  const path = join(directory, "recipe.yml")
  yield* Effect.promise(() => writeFile(path, recipe))
  const notes: Array<string> = []
  const merged = yield* mergeRecipe(path, join(directory, `merged-${String(Math.random()).slice(2)}`), {
    digests: false,
    onReport: (report) => notes.push(...report.notes),
  })
  const rowsOf = (name: string) =>
    Effect.map(Checkpoint.readFloat32(merged, name), (values) => {
      const shape = merged.tensors.get(name)?.shape ?? []
      const width = shape.length === 1 || shape[0] === 1 ? 1 : (shape[1] ?? 1)
      return Array.from({ length: values.length / width }, (_, id) => [
        ...values.subarray(id * width, (id + 1) * width),
      ])
    })
  return { merged, notes, rowsOf }
})

/** A recipe of the mean of two models. */
export const mean = (rest = ""): string =>
  `merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 0.5}}\n- {model: b, parameters: {weight: 0.5}}\n${rest}`
