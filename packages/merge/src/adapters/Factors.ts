/** From the two factors of a module to what they add to a tensor: checked against the config and the tensor's shape. */
import type { Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Values from "../engine/Values.ts"
import type { AdapterConfig } from "./AdapterConfig.ts"
import type { Product } from "./Change.ts"
import type { Modules } from "./Modules.ts"
import type { ModuleParts, PartProblem } from "./Parts.ts"

/** What the factors are of. */
export interface Place {
  readonly module: string
  readonly target: Safetensors.TensorInfo
  /** Whether the target is stored [in, out]; undefined where nothing tells. */
  readonly transposed: boolean | undefined
}

/** The two factors of a module; fails where one lacks the other, or is no matrix of floats. */
export const pairOf = Effect.fnUntraced(function* (
  module: string,
  { factors }: ModuleParts,
): Effect.fn.Return<
  { readonly a: Values.FloatTensor; readonly b: Values.FloatTensor; readonly embedding: boolean },
  PartProblem
> {
  const embedding = factors.has("embeddingA") || factors.has("embeddingB")
  if (embedding && (factors.has("A") || factors.has("B")))
    return yield* Effect.fail({ problem: `holds factors of ${module} as a linear layer and as an embedding` })
  const [a, b] = embedding
    ? [factors.get("embeddingA"), factors.get("embeddingB")]
    : [factors.get("A"), factors.get("B")]
  const infix = embedding ? "lora_embedding_" : "lora_"
  if (a === undefined || b === undefined) {
    const [half, missing] = a === undefined ? [b, "A"] : [a, "B"]
    return yield* Effect.fail({
      ...(half === undefined ? {} : { tensor: half.name }),
      problem: `has no other half: ${infix}${missing} of ${module} is missing, the file may be incomplete`,
    })
  }
  for (const factor of [a, b]) {
    if (!Values.isFloatTensor(factor)) {
      const problem = `is ${factor.dtype}: factors are floats, and a scale for integers is nowhere given`
      return yield* Effect.fail({ tensor: factor.name, problem })
    }
    if (factor.shape.length !== 2) {
      const problem = `has the shape ${shapeText(factor)}: only factors of linear layers and embeddings are read`
      return yield* Effect.fail({ tensor: factor.name, problem })
    }
  }
  if (!Values.isFloatTensor(a) || !Values.isFloatTensor(b)) return yield* Effect.die("checked above")
  return { a, b, embedding }
})

/** What a pair adds to its target. */
export const productOf = Effect.fnUntraced(function* (
  { module, target, transposed }: Place,
  { a, b }: { readonly a: Values.FloatTensor; readonly b: Values.FloatTensor },
  config: AdapterConfig,
  modules: Modules,
): Effect.fn.Return<Product, PartProblem> {
  const fail = (problem: string) => Effect.fail({ tensor: a.name, problem })
  const rank = modules.rankOf(module)
  const alpha = modules.alphaOf(module)
  if (a.shape[0] !== rank || b.shape[1] !== rank) {
    return yield* fail(
      `lora_A ${shapeText(a)} and lora_B ${shapeText(b)} are not of the rank ${rank} that adapter_config.json gives (r, rank_pattern)`,
    )
  }
  const [rows, columns] = target.shape
  const plain = b.shape[0] === rows && a.shape[1] === columns
  const turned = b.shape[0] === columns && a.shape[1] === rows
  const isTransposed = transposed ?? !plain
  if (target.shape.length !== 2 || !(isTransposed ? turned : plain)) {
    return yield* fail(
      `lora_A ${shapeText(a)} and lora_B ${shapeText(b)} do not fit ${target.name} of shape ${shapeText(target)}` +
        (isTransposed ? ", which is stored [in, out]" : ""),
    )
  }
  if (transposed === undefined && plain && turned && config.transposed) {
    return yield* fail(
      `${target.name} is square, and nothing but fan_in_fan_out of adapter_config.json says that it is stored ` +
        `[in, out]: this model type has no record here: set fan_in_fan_out to false if its layers are linear, else ` +
        `merge the adapter with PEFT's merge_and_unload first, and give the result`,
    )
  }
  const scale = alpha / (config.stabilised ? Math.sqrt(rank) : rank)
  if (!Number.isFinite(Math.fround(scale)))
    return yield* fail(`lora_alpha ${alpha} over the rank ${rank} is a factor beyond float32`)
  return { a, b, scale, transposed: isTransposed }
})

/** A tensor's shape as people write it. */
export const shapeText = ({ shape }: Pick<Safetensors.TensorInfo, "shape">): string => `[${shape.join(", ")}]`
