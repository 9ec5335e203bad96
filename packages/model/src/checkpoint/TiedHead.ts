/**
 * The head of a model whose config.json ties it to the embedding, where the file has a head all the same.
 *
 * As transformers 5 reads them: equal tensors are one, a head with other values is used as it is stored, and a head that
 * is stored alone is the embedding too. Only the values tell, so both tensors are read, as far as they agree.
 */
import * as Effect from "effect/Effect"
import * as Architecture from "../architectures/Architecture.ts"
import type { ModelConfig } from "./ModelConfig.ts"
import type { ArchitectureError, SafetensorsError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Safetensors from "./Safetensors.ts"

/** What a model needs to be told by. */
export interface Model {
  readonly config: ModelConfig
  readonly tensors: ReadonlyMap<string, Safetensors.TensorInfo>
}

/** How a head stands to the embedding that a config ties it to. */
export type Standing =
  /** The file has the embedding alone, or the config ties nothing. */
  | "usual"
  /** Stored with the embedding's values. */
  | "copy"
  /** Stored with values of its own, which count. */
  | "other"
  /** Stored in the embedding's place. */
  | "alone"

/** A decoder's shape with the head that its file has. */
export interface Found {
  readonly shape: ModelShape
  readonly standing: Standing
  /** The name of a head that is stored. */
  readonly head: string
}

/** Whether two tensors are one; without their bytes, as of a model whose headers alone are here, they are taken for one. */
export type Same = typeof Safetensors.sameBytes
export const unread: Same = () => Effect.succeed(true)

/** The shape of a decoder, and its head; fails when its type is unknown, or a file cannot be read. */
export const of = Effect.fnUntraced(function* (
  { config, tensors }: Model,
  same: Same = Safetensors.sameBytes,
): Effect.fn.Return<Found, ArchitectureError | SafetensorsError> {
  const shape = yield* Architecture.resolve(config, tensors)
  if (!shape.tiedEmbeddings) return { shape, standing: "usual", head: shape.tensors.head }
  const untied = yield* Architecture.resolve({ ...config, tie_word_embeddings: false }, tensors)
  const { head } = untied.tensors
  const [stored, embedding] = [tensors.get(head), tensors.get(shape.tensors.embedding)]
  if (stored === undefined) return { shape, standing: "usual", head }
  if (embedding === undefined) return { shape: from(shape, head), standing: "alone", head }
  return (yield* same(embedding, stored))
    ? { shape, standing: "copy", head }
    : { shape: untied, standing: "other", head }
})

/** A tied shape whose one table is stored under the head's name. */
const from = (shape: ModelShape, head: string): ModelShape => ({
  ...shape,
  tensors: { ...shape.tensors, embedding: head, head },
  expected: new Map(
    [...shape.expected].map(([name, size]) => [name === shape.tensors.embedding ? head : name, size]),
  ),
})

/** A line for a head that is not what config.json says of it; undefined where all is as it says. */
export const remark = ({ head, standing }: Found): string | undefined =>
  standing === "other"
    ? `${head} differs from the embedding that the config ties it to: the stored head is used, as transformers does; tie_word_embeddings false says so`
    : undefined
