/**
 * How a model stores what an adapter names: under which name each module's tensors lie, which of them are linear layers
 * or embeddings, which are stored transposed, and whether the head is the embedding.
 */
import { entryOr } from "@hila/core/Lookup"
import {
  Architecture,
  type Checkpoint,
  type EncoderShape,
  type ModelShape,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Naming from "../names/Naming.ts"
import * as Ties from "../names/Ties.ts"
import * as TensorName from "../names/TensorName.ts"

/** What PEFT can adapt: a linear layer, or an embedding, which it multiplies from the other side. */
export type Kind = "linear" | "embedding"

/** A model as adapters see it. */
export interface Stored {
  /** The names that a tensor's name may stand for; one, unless the model has several stacks or none of that name. */
  readonly find: (tensor: string) => ReadonlyArray<string>
  /** A tensor's name in the model as it runs, which adapters use. */
  readonly running: (tensor: string) => string
  /** What a tensor is, where a record or its name and place tell; norms and biases are neither. */
  readonly kind: (tensor: string) => Kind | undefined
  /** Whether a layer's weight is stored [in, out]; undefined where neither a record nor the model's type tells. */
  readonly transposed: (tensor: string) => boolean | undefined
  readonly embedding: string | undefined
  /** Whether the head computes with the embedding's weights. */
  readonly tied: boolean
  readonly isDecoder: boolean
}

/** A name without what generations of writers put in front; GPT-NeoX's `embed_out` runs as `lm_head` since transformers 5. */
const bare = (name: string) => Naming.core(name).replace(/^embed_out\./, "lm_head.")

/** Model types whose layers of these names are GPT-2's Conv1D, where no record tells. */
const conv1d: ReadonlySet<string> = new Set([
  "gpt2",
  "openai-gpt",
  "imagegpt",
  "decision_transformer",
  "clvp",
  "clvp_decoder",
])
const conv1dName = /\.(?:c_attn|q_attn|c_proj|c_fc)\.weight$/

/** Looks at a model's record, or at its names where it has none. */
export const of = Effect.fnUntraced(function* (
  model: Checkpoint.Checkpoint,
): Effect.fn.Return<Stored, SafetensorsError> {
  const { config, tensors } = model
  const names = [...tensors.keys()]
  const byBare = new Map<string, Array<string>>()
  for (const name of names) byBare.set(bare(name), [...entryOr(byBare, bare(name), []), name])
  const find = (tensor: string) => (tensors.has(tensor) ? [tensor] : entryOr(byBare, bare(tensor), []))
  const byName = (tensor: string) => (conv1d.has(config.model_type) ? conv1dName.test(tensor) : undefined)

  const heads = names.filter(Ties.isHead)
  const copies = heads.length === 0 ? undefined : yield* Ties.copies(model)
  /** A head that is stored counts, unless it is a copy; without one, what the config says or its class does. */
  const isTied = (usually: boolean) =>
    copies === undefined ? usually : heads.every((head) => copies.has(head))

  const decoder = yield* Effect.option(Architecture.resolve(config, tensors))
  if (decoder._tag === "Some") {
    const { embedding, head } = decoder.value.tensors
    const tied = isTied(head === embedding)
    const record = recordOf(decoder.value, tied ? [] : [...heads, head].slice(0, 1))
    return { find, ...byRecord(record, byName), embedding: find(embedding)[0], tied, isDecoder: true }
  }
  const encoder = yield* Effect.option(Architecture.resolveEncoder(config, tensors))
  if (encoder._tag === "Some") {
    const { dense, output } = encoder.value.classifier
    const record = recordOf(encoder.value, [dense.weight, output.weight])
    const [embedding] = find(encoder.value.tensors.embedding)
    return { find, ...byRecord(record, byName), embedding, tied: false, isDecoder: false }
  }
  const embedding = Ties.embeddingOf(tensors)
  return {
    find,
    running: (tensor) => runningName(config.model_type, tensor),
    kind: (tensor) =>
      tensor === embedding ? "embedding" : kindByName(tensor, entryOr(tensors, tensor, { shape: [] }).shape),
    transposed: byName,
    embedding,
    tied: isTied(Ties.places(config).every(({ tied }) => tied)),
    isDecoder: (config.architectures ?? []).some((name) => /ForCausalLM$|LMHeadModel$/.test(name)),
  }
})

interface Layer {
  /** As the model has it when it runs. */
  readonly name: string
  readonly kind: Kind
  readonly transposed: boolean
}

/** Linear layers and embeddings of a record, by their names without what stands before the layers. */
const recordOf = (stack: ModelShape | EncoderShape, outside: ReadonlyArray<string>) => {
  const layers = new Map<string, Layer>()
  const add = (name: string, kind: Kind, transposed = false) => {
    layers.set(bare(name), { name: runningName(stack.modelType, name), kind, transposed })
  }
  for (const layer of stack.layers) {
    for (const part of Object.values(layer)) {
      if ("weight" in part && typeof part.weight === "string")
        add(part.weight, "linear", "transposed" in part && part.transposed === true)
    }
  }
  for (const name of outside) add(name, "linear")
  const { embedding, positions } = stack.tensors
  for (const name of [embedding, positions]) if (name !== undefined) add(name, "embedding")
  if ("segments" in stack.tensors && stack.tensors.segments !== undefined)
    add(stack.tensors.segments.weight, "embedding")
  return layers
}

/** The first published weights of GPT-2 have no prefix, the model that runs has one. */
const runningName = (modelType: string, name: string) => {
  const without = bare(name)
  if (modelType === "gpt2") return without === "lm_head.weight" ? without : `transformer.${without}`
  return modelType === "gpt_neox" && without === "lm_head.weight" ? without : name
}

const byRecord = (
  layers: ReadonlyMap<string, Layer>,
  byName: (tensor: string) => boolean | undefined,
): Pick<Stored, "running" | "kind" | "transposed"> => ({
  running: (tensor) => layers.get(bare(tensor))?.name ?? tensor,
  kind: (tensor) => layers.get(bare(tensor))?.kind,
  transposed: (tensor) => layers.get(bare(tensor))?.transposed ?? byName(tensor) ?? false,
})

/**
 * Matrices in layers are linear, heads have known names. Tables of positions are none of these:
 * their classes compute in ways of their own, which PEFT does not know.
 */
const kindByName = (tensor: string, shape: ReadonlyArray<number>): Kind | undefined => {
  if (shape.length !== 2 || !tensor.endsWith(".weight")) return undefined
  if (Ties.isHead(tensor)) return "linear"
  if (/relative_attention_bias|embed/.test(tensor)) return undefined
  return TensorName.layerOf(tensor) === undefined ? undefined : "linear"
}
