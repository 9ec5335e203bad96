/**
 * Tensors that are another under a second name: a head that is tied to the embedding, and the copies that encoders and
 * encoder-decoders store.
 *
 * As transformers 5 reads them: what config.json ties is one tensor, unless both are stored and differ; then the stored
 * head counts and nothing is tied.
 */
import {
  Architecture,
  type Checkpoint,
  type ModelConfig,
  Safetensors,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"

type Infos = ReadonlyMap<string, Safetensors.TensorInfo>

const heads = /(?:^|\.)(?:lm_head|embed_out)\.weight$/
const decoders = /^(?:cls\.predictions|lm_head)\.decoder\.(?:weight|bias)$/
const inputs = /(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|shared)\.weight$/

/** Whether a name is that of an output head that an embedding may stand for. */
export const isHead = (name: string): boolean => heads.test(name)

/** Whether a config ties head and embedding: as it says, in itself or for its text, or as its class does by default. */
export const declared = (config: ModelConfig.ModelConfig): Effect.Effect<boolean> => {
  const said = places(config).map(({ tied }) => tied)
  return said.length > 0
    ? Effect.succeed(said.includes(true))
    : Effect.map(Effect.option(Architecture.resolve(config, { has: () => false })), (shape) =>
        Option.match(shape, { onNone: () => false, onSome: ({ tiedEmbeddings }) => tiedEmbeddings }),
      )
}

const key = "tie_word_embeddings"

/** Where a config says whether it ties. */
export const places = (
  config: ModelConfig.ModelConfig,
): ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly tied: boolean }> =>
  [[], ["text_config"]].flatMap((path) => {
    const section = path.reduce<unknown>(
      (at, step) => (Predicate.isObject(at) ? Reflect.get(at, step) : undefined),
      config,
    )
    const tied = Predicate.isObject(section) ? Reflect.get(section, key) : undefined
    return typeof tied === "boolean" ? [{ path: [...path, key], tied }] : []
  })

/** The embedding that a head of this shape is tied to: the shared one, else the only one of its shape. */
export const embeddingOf = (tensors: Infos, shape?: ReadonlyArray<number>): string | undefined => {
  const found = [...tensors.values()].filter(
    (info) => inputs.test(info.name) && (shape === undefined || info.shape.join() === shape.join()),
  )
  const shared = found.find(({ name }) => name.endsWith("shared.weight"))
  return shared?.name ?? (found.length === 1 ? found[0]?.name : undefined)
}

/** A head that is stored alone, and the embedding that it is too; undefined where the embedding is stored. */
export const alone = ({
  config,
  tensors,
}: Checkpoint.Checkpoint): Effect.Effect<{ readonly head: string; readonly embedding: string } | undefined> =>
  Effect.map(
    Effect.option(Architecture.resolve(config, tensors)),
    Option.match({
      onNone: () => undefined,
      onSome: ({ tensors: { embedding }, tiedEmbeddings }) => {
        const head = [...tensors.keys()].find(isHead)
        const stands = tiedEmbeddings && head !== undefined && embeddingOf(tensors) === undefined
        return stands && !tensors.has(embedding) ? { head, embedding } : undefined
      },
    }),
  )

/** The name of a copy's original, where a tensor may be one. */
const originalOf = (name: string, tensors: Infos, tied: boolean): string | undefined => {
  const info = tensors.get(name)
  if (info === undefined) return undefined
  if (heads.test(name)) return tied ? embeddingOf(tensors, info.shape) : undefined
  if (decoders.test(name) && name.endsWith(".bias")) return name.replace(".decoder", "")
  if (decoders.test(name)) return embeddingOf(tensors, info.shape)
  return /^(?:encoder|decoder)\.embed_tokens\.weight$/.test(name) ? "shared.weight" : undefined
}

/** Tensors that may be copies, and of what. Which of them are, `copies` finds by reading both. */
export const candidates = Effect.fnUntraced(function* ({ config, tensors }: Checkpoint.Checkpoint) {
  const tied = yield* declared(config)
  return [...tensors.keys()].flatMap((name) => {
    const original = originalOf(name, tensors, tied)
    return original !== undefined && original !== name && tensors.has(original) ? [{ name, original }] : []
  })
})

/** The tensors of a checkpoint that are the same, byte for byte, as the one they are tied to. */
export const copies = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
): Effect.fn.Return<ReadonlySet<string>, SafetensorsError> {
  const found = new Set<string>()
  for (const { name, original } of yield* candidates(checkpoint)) {
    const [copy, source] = [checkpoint.tensors.get(name), checkpoint.tensors.get(original)]
    if (copy !== undefined && source !== undefined && (yield* Safetensors.sameBytes(copy, source)))
      found.add(name)
  }
  return found
})
