/**
 * Ids of tokens in the configs of a model: which keys hold them, and what becomes of them in another vocabulary.
 *
 * They are known by their keys, at any depth: `eos_token_id` and all that end like it, and the lists of generation
 * configs. Parts that have a vocabulary of their own (sound, pictures, codecs) are left alone.
 */
import { type Checkpoint, CheckpointError, JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import * as Role from "../stacks/Role.ts"

/** The configs that hold ids. */
export const files = ["config.json", "generation_config.json"] as const

/** A config as it is on disk, or undefined where a checkpoint has none. */
export const read = Effect.fnUntraced(function* (
  checkpoint: Pick<Checkpoint.Checkpoint, "files">,
  name: (typeof files)[number],
): Effect.fn.Return<unknown, CheckpointError> {
  const path = checkpoint.files[name]
  if (path === undefined) return undefined
  const refuse = (problem: string) => new CheckpointError({ path, problem, blame: "input" })
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => refuse(String(cause)),
  })
  return yield* Effect.mapError(Effect.fromResult(JsonText.read(text)), (problem) =>
    refuse(`no JSON: ${problem}`),
  )
})

/** A value of a config that holds ids, in the shape that its key has. */
export interface Holder {
  readonly path: JsonText.Path
  readonly value: unknown
  /** The ids in it. */
  readonly ids: ReadonlyArray<number>
  /** The value with other ids; those that become undefined are left out, and so is all that they leave empty. */
  readonly with: (map: (id: number) => number | undefined) => unknown
}

type Shape = "ids" | "byName" | "byPlace" | "biases"

const shapes: ReadonlyMap<string, Shape> = new Map([
  ["suppress_tokens", "ids"],
  ["begin_suppress_tokens", "ids"],
  ["bad_words_ids", "ids"],
  ["force_words_ids", "ids"],
  ["lang_to_id", "byName"],
  ["task_to_id", "byName"],
  ["forced_decoder_ids", "byPlace"],
  ["sequence_bias", "biases"],
])

const single = /(?:^|_)token_(?:ids?|index|indices)$|^(?:bos|eos|pad|unk|sep|cls|mask)_index$/

/** Keys and sections of vocabularies that the tokenizer's is not. */
const foreign = /codec|codebook|depth_decoder|acoustics|semantic/

const shapeOf = (key: string): Shape | undefined => shapes.get(key) ?? (single.test(key) ? "ids" : undefined)

/** Every holder of ids in a config. */
export const of = (config: unknown, path: JsonText.Path = []): ReadonlyArray<Holder> => {
  if (typeof config !== "object" || config === null || Array.isArray(config)) return []
  return Object.entries(config).flatMap(([key, value]: readonly [string, unknown]) => {
    const shape = shapeOf(key)
    if (foreign.test(key) || (shape === undefined && Role.of([key]) !== "text")) return []
    if (shape === undefined) return of(value, [...path, key])
    const ids: Array<number> = []
    const mapped = (map: (id: number) => number | undefined) => mapIds(value, shape, map)
    mapped((id) => {
      ids.push(id)
      return id
    })
    return ids.length === 0 ? [] : [{ path: [...path, key], value, ids, with: mapped }]
  })
}

/** Ids below 0 stand for none. */
const mapIds = (value: unknown, shape: Shape, map: (id: number) => number | undefined): unknown => {
  if (typeof value === "number") return Number.isInteger(value) && value >= 0 ? map(value) : value
  if (Array.isArray(value)) {
    const items: ReadonlyArray<unknown> = value
    if (shape === "ids") {
      // A word of several tokens is one entry of the list: without one of them it is another word.
      const inner = items.map((item) => mapIds(item, shape, map))
      const isWord = items.every((item) => typeof item === "number")
      return isWord
        ? inner.filter((id) => id !== undefined)
        : inner.filter((word, at) => isWhole(word, items[at]))
    }
    return items.flatMap((item) => {
      if (!Array.isArray(item) || item.length !== 2) return [item]
      const [first, second]: ReadonlyArray<unknown> = item
      const pair =
        shape === "byPlace" ? [first, mapIds(second, "ids", map)] : [mapIds(first, "ids", map), second]
      const whole = shape === "byPlace" ? pair[1] !== undefined : isWhole(pair[0], first)
      return whole ? [pair] : []
    })
  }
  if (shape !== "byName" || typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, id]: readonly [string, unknown]) => [name, mapIds(id, "ids", map)] as const)
      .filter(([, id]) => id !== undefined),
  )
}

const isWhole = (mapped: unknown, before: unknown): boolean =>
  Array.isArray(mapped) && Array.isArray(before) ? mapped.length === before.length : mapped !== undefined
