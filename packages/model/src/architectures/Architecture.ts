/**
 * Architectures: one record per model type that says where its tensors are and what its config.json means.
 *
 * To add one, write a record in `architectures/` and list it here. Reading, writing and merging tensors by name need no
 * record; units and execution do.
 */
import * as Effect from "effect/Effect"
import { bert, distilbert, roberta, xlmRoberta } from "./Bert.ts"
import { cohere } from "./Cohere.ts"
import { gemma, gemma2, gemma3 } from "./Gemma.ts"
import { gpt2 } from "./Gpt2.ts"
import { gptNeox } from "./GptNeox.ts"
import { granite } from "./Granite.ts"
import { llama } from "./Llama.ts"
import { mistral } from "./Mistral.ts"
import { modernbert } from "./ModernBert.ts"
import { olmo2 } from "./Olmo2.ts"
import { phi3 } from "./Phi3.ts"
import { qwen2, qwen3 } from "./Qwen.ts"
import type { Architecture, Has } from "./Record.ts"
import { smollm3 } from "./SmolLm3.ts"
import { stablelm } from "./StableLm.ts"
import { starcoder2 } from "./Starcoder2.ts"
import type { ModelConfig } from "../checkpoint/ModelConfig.ts"
import { ArchitectureError } from "../ModelError.ts"
import type { EncoderShape, ModelShape, Stack } from "./ModelShape.ts"

/** Every decoder with a record. */
const decoders: ReadonlyArray<Architecture> = [
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma,
  gemma2,
  gemma3,
  phi3,
  olmo2,
  granite,
  smollm3,
  stablelm,
  starcoder2,
  cohere,
  gpt2,
  gptNeox,
]

/** Every encoder with a record. */
const encoders: ReadonlyArray<Architecture<EncoderShape>> = [
  bert,
  roberta,
  xlmRoberta,
  distilbert,
  modernbert,
]

/** The keys of config.json that each model type's record reads. */
export const keys: ReadonlyMap<string, ReadonlyArray<string>> = new Map(
  [...decoders, ...encoders].map((record) => [record.modelType, record.keys]),
)

const typesOf = (records: ReadonlyArray<Pick<Architecture, "modelType">>): string =>
  records.map(({ modelType }) => modelType).join(", ")

const find = <S extends Stack>(
  records: ReadonlyArray<Architecture<S>>,
  config: ModelConfig,
  has: Has,
): Effect.Effect<S, ArchitectureError> => {
  const record = records.find(({ modelType }) => modelType === config.model_type)
  return (
    record?.read(config, has) ??
    Effect.fail(
      new ArchitectureError({
        modelType: config.model_type,
        kind: "unknown",
        problem:
          "unknown model type: it can be merged by its tensors' names, and not be run; " +
          `known: ${typesOf(records)}`,
      }),
    )
  )
}

/** The names of a checkpoint's tensors. Without them, names are those that newer writers use. */
type Names = Pick<ReadonlyMap<string, unknown>, "has">

const anyName: Names = { has: () => true }

/** Whether models of a type are decoders or encoders; undefined where the type has no record. */
export const kindOf = (modelType: string): "decoder" | "encoder" | undefined => {
  const among = (records: ReadonlyArray<Pick<Architecture, "modelType">>) =>
    records.some((record) => record.modelType === modelType)
  return among(decoders) ? "decoder" : among(encoders) ? "encoder" : undefined
}

/** The shape of the decoder a config.json describes; fails when its type or one of its features is unknown. */
export const resolve = (
  config: ModelConfig,
  tensors: Names = anyName,
): Effect.Effect<ModelShape, ArchitectureError> =>
  kindOf(config.model_type) === "encoder"
    ? Effect.fail(
        new ArchitectureError({
          modelType: config.model_type,
          kind: "unsupported",
          problem: "is an encoder, and this needs a decoder; encoders are opened with EncoderModel.open",
        }),
      )
    : find(decoders, config, (name) => tensors.has(name))

/** The shape of the encoder a config.json describes. */
export const resolveEncoder = (
  config: ModelConfig,
  tensors: Names = anyName,
): Effect.Effect<EncoderShape, ArchitectureError> =>
  kindOf(config.model_type) === "decoder"
    ? Effect.fail(
        new ArchitectureError({
          modelType: config.model_type,
          kind: "unsupported",
          problem: `is a decoder, and this needs an encoder: ${typesOf(encoders)}`,
        }),
      )
    : find(encoders, config, (name) => tensors.has(name))
