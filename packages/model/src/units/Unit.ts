/**
 * Units: the parts of a decoder that are scored, pruned and weighted, as exact and disjoint slices of tensors.
 *
 * With the residual tensors, the units of a scheme cover every scalar of a checkpoint once, so the deltas of all units
 * and of the residual sum to the whole delta. A unit says where its weights are; it holds none.
 */
import { at, entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { type Checkpoint, validate } from "../checkpoint/Checkpoint.ts"
import type { ArchitectureError, CheckpointError, SafetensorsError } from "../ModelError.ts"
import type { LayerTensors, ModelShape, Projection } from "../architectures/ModelShape.ts"
import type { Kind, Scheme } from "./UnitTable.ts"

/**
 * `kvGroup`: query, key, value and output of one key-value group; `queryHead`: query and output; `kvHead`: key and value;
 * `layer`: all of these and the MLP.
 */
export type UnitKind = typeof Kind.Type

/**
 * `kvGroup` divides a layer into key-value groups and the MLP; `queryHead` into query heads, key-value heads and the
 * MLP; `layer` leaves it whole.
 */
export type UnitScheme = typeof Scheme.Type

/** Rows (axis 0) or columns (axis 1) `[start, end)` of a tensor; whole along the other axis. */
export interface Slice {
  readonly tensor: string
  readonly axis: 0 | 1
  readonly start: number
  readonly end: number
}

/** A part of one layer. */
export interface Unit {
  /** `layers.0.kvGroup.1`, `layers.0.mlp`, `layers.0`. */
  readonly id: string
  readonly kind: UnitKind
  readonly layer: number
  /** Which group or head of the layer; 0 for the MLP and for a layer. */
  readonly index: number
  readonly slices: ReadonlyArray<Slice>
  /** Scalars in all slices. */
  readonly size: number
}

/** A checkpoint divided: disjoint units, and the tensors outside of every unit, whole. */
export interface Partition {
  readonly units: ReadonlyArray<Unit>
  readonly residual: ReadonlyArray<string>
}

/**
 * Divides a checkpoint by a scheme, layer by layer, heads before the MLP.
 *
 * Biases of query, key and value go with their rows and those of the MLP with the MLP; the bias of the output
 * projection belongs to no head and is residual, like norms, embedding and head.
 */
export const partition = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  scheme: UnitScheme,
): Effect.fn.Return<Partition, ArchitectureError | CheckpointError | SafetensorsError> {
  const shape = yield* validate(checkpoint)
  const units = shape.layers.flatMap((_, l) => layerUnits(shape, l, scheme))
  const covered = new Set(units.flatMap(({ slices }) => slices.map(({ tensor }) => tensor)))
  return { units, residual: [...checkpoint.tensors.keys()].filter((name) => !covered.has(name)) }
})

/** Scalars in the slices of a unit that lie in one tensor of this shape. */
const sliceSize = ({ axis, end, start }: Slice, shape: ReadonlyArray<number>): number =>
  (end - start) * shape.reduce((product, size, i) => (i === axis ? product : product * size), 1)

const idOf = (l: number, kind: UnitKind, index: number): string => {
  switch (kind) {
    case "layer":
      return `layers.${l}`
    case "mlp":
      return `layers.${l}.mlp`
    case "kvGroup":
    case "queryHead":
    case "kvHead":
      return `layers.${l}.${kind}.${index}`
  }
}

const layerUnits = (shape: ModelShape, l: number, scheme: UnitScheme): ReadonlyArray<Unit> => {
  const layer = at(shape.layers, l)
  const unit = (kind: UnitKind, index: number, slices: ReadonlyArray<Slice>): Unit => ({
    id: idOf(l, kind, index),
    kind,
    layer: l,
    index,
    slices,
    size: slices.reduce((sum, slice) => sum + sliceSize(slice, entry(shape.expected, slice.tensor)), 0),
  })
  const many = (kind: UnitKind, count: number, slices: (index: number) => ReadonlyArray<Slice>) =>
    Array.from({ length: count }, (_, index) => unit(kind, index, slices(index)))
  const groupSize = shape.heads / shape.kvHeads
  const { headDim, heads, kvHeads } = shape
  switch (scheme) {
    case "kvGroup":
      return [
        ...many("kvGroup", kvHeads, (group) => [
          ...outputs(layer.query, group * groupSize, groupSize, headDim),
          ...keyValue(layer, group, 1, headDim),
          inputs(layer.output, group * groupSize, groupSize, headDim),
        ]),
        unit("mlp", 0, mlp(layer, shape)),
      ]
    case "queryHead":
      return [
        ...many("queryHead", heads, (head) => [
          ...outputs(layer.query, head, 1, headDim),
          inputs(layer.output, head, 1, headDim),
        ]),
        ...many("kvHead", kvHeads, (head) => keyValue(layer, head, 1, headDim)),
        unit("mlp", 0, mlp(layer, shape)),
      ]
    case "layer":
      return [
        unit("layer", 0, [
          ...outputs(layer.query, 0, heads, headDim),
          ...keyValue(layer, 0, kvHeads, headDim),
          inputs(layer.output, 0, heads, headDim),
          ...mlp(layer, shape),
        ]),
      ]
  }
}

/** The outputs of `count` heads from `first` on: rows of a weight `[out, in]`, and the same entries of the bias. */
const outputs = (
  { bias, layout, transposed, weight }: Projection,
  first: number,
  count: number,
  size: number,
): ReadonlyArray<Slice> => {
  const { offset, stride } = layout ?? { offset: 0, stride: size }
  const at = (head: number) => offset + head * stride
  const spans =
    stride === size
      ? [{ start: at(first), end: at(first + count) }]
      : Array.from({ length: count }, (_, i) => ({ start: at(first + i), end: at(first + i) + size }))
  const of = (tensor: string, axis: 0 | 1) => spans.map((span) => ({ tensor, axis, ...span }))
  return [...of(weight, transposed === true ? 1 : 0), ...(bias === undefined ? [] : of(bias, 0))]
}

/** The inputs of `count` heads from `first` on: columns of a weight `[out, in]`. The bias has none. */
const inputs = ({ transposed, weight }: Projection, first: number, count: number, size: number): Slice => ({
  tensor: weight,
  axis: transposed === true ? 0 : 1,
  start: first * size,
  end: (first + count) * size,
})

const keyValue = (
  layer: LayerTensors,
  first: number,
  count: number,
  headDim: number,
): ReadonlyArray<Slice> => [
  ...outputs(layer.key, first, count, headDim),
  ...outputs(layer.value, first, count, headDim),
]

const mlp = (layer: LayerTensors, shape: ModelShape): ReadonlyArray<Slice> => [
  ...(layer.gate === undefined ? [] : outputs(layer.gate, 0, 1, shape.intermediateSize)),
  ...outputs(layer.up, 0, 1, shape.intermediateSize),
  ...outputs(layer.down, 0, 1, shape.hiddenSize),
]
