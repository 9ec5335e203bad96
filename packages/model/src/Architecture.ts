/**
 * Architectures: one record per model type that says where its tensors are and what its config.json means.
 *
 * To add one, write a record in `architectures/` and list it in `known`. Reading, writing and merging tensors by name
 * need no record; units and execution do.
 */
import * as Effect from "effect/Effect"
import { llama } from "./architectures/Llama.ts"
import type { ModelConfig } from "./ModelConfig.ts"
import { ArchitectureError } from "./ModelError.ts"
import type { Hyperparameters, LayerTensors, ModelShape, Projection, ProjectionRole } from "./ModelShape.ts"

export type { Hyperparameters, LayerTensors, ModelShape, Projection, ProjectionRole } from "./ModelShape.ts"

/** What has to be known about a model type. In names, `{layer}` stands for the layer's number. */
export interface Architecture {
  readonly modelType: string
  readonly names: Readonly<
    Record<"embedding" | "finalNorm" | "head" | "inputNorm" | "postAttentionNorm", string>
  > &
    Readonly<Record<ProjectionRole, string>>
  /** Reads the sizes, and which projections have a bias; refuses what the record's graph does not compute. */
  readonly read: (
    config: ModelConfig,
  ) => Effect.Effect<
    { readonly sizes: Hyperparameters; readonly biased: ReadonlyArray<ProjectionRole> },
    ArchitectureError
  >
}

/** Every architecture with a record. */
export const known: ReadonlyArray<Architecture> = [llama]

/** The shape of the model a config.json describes; fails when its type or one of its features is unknown. */
export const resolve = Effect.fnUntraced(function* (
  config: ModelConfig,
): Effect.fn.Return<ModelShape, ArchitectureError> {
  const architecture = known.find(({ modelType }) => modelType === config.model_type)
  if (architecture === undefined) {
    return yield* new ArchitectureError({
      modelType: config.model_type,
      problem:
        `unknown model type; known: ${known.map(({ modelType }) => modelType).join(", ")}. ` +
        "To add one, write its record in packages/model/src/architectures and list it in Architecture.known",
    })
  }
  const { biased, sizes } = yield* architecture.read(config)
  return shapeOf(architecture, sizes, biased)
})

/** `[out, in]` of each projection. */
const linearShapes = (
  sizes: Hyperparameters,
): Readonly<Record<ProjectionRole, readonly [number, number]>> => ({
  query: [sizes.heads * sizes.headDim, sizes.hiddenSize],
  key: [sizes.kvHeads * sizes.headDim, sizes.hiddenSize],
  value: [sizes.kvHeads * sizes.headDim, sizes.hiddenSize],
  output: [sizes.hiddenSize, sizes.heads * sizes.headDim],
  gate: [sizes.intermediateSize, sizes.hiddenSize],
  up: [sizes.intermediateSize, sizes.hiddenSize],
  down: [sizes.hiddenSize, sizes.intermediateSize],
})

const roles: ReadonlyArray<ProjectionRole> = ["query", "key", "value", "output", "gate", "up", "down"]

const shapeOf = (
  { modelType, names }: Architecture,
  sizes: Hyperparameters,
  biased: ReadonlyArray<ProjectionRole>,
): ModelShape => {
  const at = (pattern: string, l: number) => pattern.replaceAll("{layer}", String(l))
  const layer = (l: number): LayerTensors => {
    const projection = (role: ProjectionRole): Projection => {
      const name = at(names[role], l)
      return biased.includes(role)
        ? { weight: `${name}.weight`, bias: `${name}.bias` }
        : { weight: `${name}.weight` }
    }
    return {
      inputNorm: at(names.inputNorm, l),
      postAttentionNorm: at(names.postAttentionNorm, l),
      query: projection("query"),
      key: projection("key"),
      value: projection("value"),
      output: projection("output"),
      gate: projection("gate"),
      up: projection("up"),
      down: projection("down"),
    }
  }
  const head = sizes.tiedEmbeddings ? names.embedding : names.head
  const linear = linearShapes(sizes)
  const expected = new Map<string, ReadonlyArray<number>>([
    [names.embedding, [sizes.vocabSize, sizes.hiddenSize]],
    [names.finalNorm, [sizes.hiddenSize]],
    [head, [sizes.vocabSize, sizes.hiddenSize]],
  ])
  for (let l = 0; l < sizes.layers; l++) {
    const tensors = layer(l)
    expected.set(tensors.inputNorm, [sizes.hiddenSize])
    expected.set(tensors.postAttentionNorm, [sizes.hiddenSize])
    for (const role of roles) {
      expected.set(tensors[role].weight, linear[role])
      if (tensors[role].bias !== undefined) expected.set(tensors[role].bias, [linear[role][0]])
    }
  }
  return {
    ...sizes,
    modelType,
    tensors: { embedding: names.embedding, finalNorm: names.finalNorm, head },
    layer,
    expected,
  }
}
