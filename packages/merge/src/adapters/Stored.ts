/**
 * How a model stores what an adapter names: under which name each module's tensors lie, which layers are stored
 * transposed, and whether the head is the embedding.
 */
import { Architecture, type Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as TensorName from "../recipe/TensorName.ts"

/** A model as adapters see it. */
export interface Stored {
  /** The names that a tensor's name may stand for; one, unless the model has several stacks or none of that name. */
  readonly find: (tensor: string) => ReadonlyArray<string>
  /** Whether a layer's weight is stored [in, out]; undefined where neither a record nor the model's type tells. */
  readonly transposed: (tensor: string) => boolean | undefined
  readonly embedding: string | undefined
  /** Whether the head computes with the embedding's weights. */
  readonly tied: boolean
}

/** Names that stand before the layers, depending on the class and the generation that wrote them. */
const roots = /^(?:(?:base_model|model|transformer|language_model)\.)+/

const bare = (name: string) => name.replace(roots, "")

/** Model types whose layers of these names are GPT-2's Conv1D, where no record tells. */
const conv1d: ReadonlySet<string> = new Set([
  "gpt2",
  "openai-gpt",
  "imagegpt",
  "decision_transformer",
  "clvp",
  "clvp_decoder",
])
const embeddingName = /(?:^|\.)(?:embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|shared)\.weight$/
const conv1dName = /\.(?:c_attn|q_attn|c_proj|c_fc)\.weight$/

/** Looks at a model's record, or at its names where it has none. */
export const of = Effect.fnUntraced(function* (model: Checkpoint.Checkpoint): Effect.fn.Return<Stored> {
  const { config, tensors } = model
  const byBare = new Map<string, Array<string>>()
  for (const name of tensors.keys()) byBare.set(bare(name), [...(byBare.get(bare(name)) ?? []), name])
  const find = (tensor: string) => (tensors.has(tensor) ? [tensor] : (byBare.get(bare(tensor)) ?? []))

  const decoder = yield* Effect.option(Architecture.resolve(config, tensors))
  const stack =
    decoder._tag === "Some" ? decoder : yield* Effect.option(Architecture.resolveEncoder(config, tensors))
  const byName = (tensor: string) => (conv1d.has(config.model_type) ? conv1dName.test(tensor) : undefined)
  if (stack._tag === "None") {
    const names = [...tensors.keys()]
    return {
      find,
      embedding: names.find((name) => embeddingName.test(name)),
      tied: config["tie_word_embeddings"] !== false && !names.some(TensorName.isHead),
      transposed: byName,
    }
  }
  const known = new Map<string, boolean>()
  for (const layer of stack.value.layers) {
    for (const part of Object.values(layer)) {
      if ("weight" in part && typeof part.weight === "string")
        known.set(part.weight, "transposed" in part && part.transposed === true)
    }
  }
  const { embedding } = stack.value.tensors
  return {
    find,
    embedding,
    tied: decoder._tag === "Some" && decoder.value.tensors.head === embedding,
    transposed: (tensor) => known.get(tensor) ?? byName(tensor) ?? false,
  }
})
