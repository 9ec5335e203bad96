/**
 * From a record's description to a shape: defaults, checks, and the list of tensors with their shapes.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ModelConfig } from "../checkpoint/ModelConfig.ts"
import type { ArchitectureError } from "../ModelError.ts"
import {
  type EncoderShape,
  type LayerTensors,
  type ModelShape,
  type Norm,
  type Projection,
  type ProjectionRole,
  projectionSizes,
  type Stack,
  weightShape,
} from "./ModelShape.ts"
import { decode, perLayer, type Problem, refuse } from "./Config.ts"

/** A model type's record: reads its config.json. */
export interface Architecture<S extends Stack = ModelShape> {
  readonly modelType: string
  /** The keys of config.json that it reads. */
  readonly keys: ReadonlyArray<string>
  /** `has` tells which tensors the checkpoint has, for types whose names vary. */
  readonly read: (config: ModelConfig, has: Has) => Effect.Effect<S, ArchitectureError>
}

export type Has = (tensor: string) => boolean

type Derived = "modelType" | "expected" | "causal" | "layers"
type Usual = "parallel" | "residualScale"
type UsualDecoder = Usual | "embeddingScale" | "logitScale"

/** How a record describes its layers. */
interface Layered {
  /** How many there are. */
  readonly depth: number
  /** The tensors of layer `l`, 0 ≤ l < depth. */
  readonly layer: (l: number) => LayerTensors
}

/** What a record says of a decoder; the rest follows or is as in most models. */
type DecoderDescription = Layered &
  Omit<ModelShape, Derived | UsualDecoder> &
  Partial<Pick<ModelShape, UsualDecoder>>

/** What a record says of an encoder. */
export type EncoderDescription = Layered &
  Omit<EncoderShape, Derived | Usual> &
  Partial<Pick<EncoderShape, Usual>>

/** The keys that a record reads. */
type Keys<A> = Schema.Decoder<A> & { readonly fields: Readonly<Record<string, unknown>> }

/** The record of a decoder: `keys` are those it reads, `describe` says what they mean, or what is missing. */
export const decoder = <A>(
  modelType: string,
  keys: Keys<A>,
  describe: (config: A, has: Has) => Effect.Effect<DecoderDescription, Problem>,
): Architecture => ({
  modelType,
  keys: Object.keys(keys.fields),
  read: (raw, has) =>
    decode(raw, Schema.decodeUnknownEffect(keys)).pipe(
      Effect.flatMap((config) => describe(config, has)),
      Effect.flatMap((description) => {
        const shape = {
          parallel: false,
          residualScale: 1,
          embeddingScale: 1,
          logitScale: 1,
          ...description,
          modelType,
          causal: true,
        }
        const { embedding, finalNorm, head, positions } = shape.tensors
        const wide = [shape.hiddenSize]
        return finish(shape, [
          [embedding, [shape.vocabSize, shape.hiddenSize]],
          ...(positions === undefined ? [] : [[positions, [shape.maxPositions, shape.hiddenSize]] as const]),
          ...norms(finalNorm, wide),
          [head, [shape.vocabSize, shape.hiddenSize]],
        ])
      }),
      Effect.mapError(refuse(modelType)),
    ),
})

/** The record of an encoder that classifies sequences. */
export const encoder = <A>(
  modelType: string,
  keys: Keys<A>,
  describe: (config: A) => Effect.Effect<EncoderDescription, Problem>,
): Architecture<EncoderShape> => ({
  modelType,
  keys: Object.keys(keys.fields),
  read: (raw) =>
    decode(raw, Schema.decodeUnknownEffect(keys)).pipe(
      Effect.flatMap(describe),
      Effect.flatMap((description) => {
        const shape = { parallel: false, residualScale: 1, ...description, modelType, causal: false }
        const { embedding, embeddingNorm, finalNorm, positions, segments } = shape.tensors
        const { dense, labels, norm, output } = shape.classifier
        const { firstPosition, hiddenSize, maxPositions, vocabSize } = shape
        return finish(shape, [
          [embedding, [vocabSize, hiddenSize]],
          ...(positions === undefined
            ? []
            : [[positions, [firstPosition + maxPositions, hiddenSize]] as const]),
          ...(segments === undefined ? [] : [[segments.weight, [segments.kinds, hiddenSize]] as const]),
          ...norms(embeddingNorm, [hiddenSize]),
          ...norms(finalNorm, [hiddenSize]),
          ...projection(dense, [hiddenSize, hiddenSize]),
          ...norms(norm, [hiddenSize]),
          ...projection(output, [hiddenSize, labels.length]),
        ])
      }),
      Effect.mapError(refuse(modelType)),
    ),
})

type Expected = ReadonlyArray<readonly [tensor: string, shape: ReadonlyArray<number>]>

const norms = (norm: Norm | undefined, shape: ReadonlyArray<number>): Expected =>
  norm === undefined
    ? []
    : [[norm.weight, shape], ...(norm.bias === undefined ? [] : [[norm.bias, shape] as const])]

const projection = (linear: Projection, size: readonly [number, number]): Expected => [
  [linear.weight, weightShape(linear, size)],
  ...(linear.bias === undefined ? [] : [[linear.bias, [linear.layout?.total ?? size[1]]] as const]),
]

const roles: ReadonlyArray<ProjectionRole> = ["query", "key", "value", "output", "gate", "up", "down"]

/** The shape with its layers and its list of tensors; fails where its sizes do not fit together. */
const finish = <S extends Omit<Stack, "expected" | "layers"> & Layered>(
  description: S,
  outside: Expected,
): Effect.Effect<
  Omit<S, keyof Layered | "attention"> & Pick<Stack, "attention" | "expected" | "layers">,
  string
> => {
  const { attention, depth, layer, ...shape } = description
  const { heads, kvHeads } = description
  if (heads % kvHeads !== 0) {
    return Effect.fail(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`)
  }
  const layers = perLayer(depth, layer)
  const inside = layers.flatMap((tensors) => layerTensors(description, tensors))
  // The order in which differences are told: sizes, tensors, attention.
  return Effect.succeed({ ...shape, layers, attention, expected: new Map([...outside, ...inside]) })
}

const layerTensors = (shape: Omit<Stack, "expected" | "layers">, tensors: LayerTensors): Expected => {
  const sizes = projectionSizes(shape)
  const normSize = { query: sizes.query[1], key: sizes.key[1] }
  return [
    ...Object.entries(tensors.norms).flatMap(([place, norm]) =>
      place === "query" || place === "key"
        ? norms(norm, [shape.queryKeyNorm === "whole" ? normSize[place] : shape.headDim])
        : norms(norm, [shape.hiddenSize]),
    ),
    ...roles.flatMap((role) => {
      const linear = tensors[role]
      return linear === undefined ? [] : projection(linear, sizes[role])
    }),
  ]
}
