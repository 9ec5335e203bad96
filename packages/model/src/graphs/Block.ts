/**
 * One layer of a decoder: pre-normalised attention and a gated MLP (Llama: Touvron et al., 2023), hidden state in,
 * hidden state out.
 *
 * A layer can be written into any graph: whole models stack them, block graphs hold some of them.
 */
import type { LayerTensors, ModelShape, Projection } from "../ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import * as Attention from "./Attention.ts"
import type { Owner, Weights } from "./Weights.ts"

/** Gates on unit outputs: 1 leaves a unit as it is, 0 ablates it. */
export interface OutputGates {
  /** [layers, heads], multiplies what each head adds through its columns of the output projection */
  readonly heads: Value<"f32">
  /** [layers], multiplies the output of the MLP, its bias included */
  readonly mlp: Value<"f32">
}

/** Where a layer's inputs stand in their sequences. */
export interface Places {
  /** i32 [batch, sequence] */
  readonly positions: Value<"i32">
  /** i32 [batch, total]: the positions of all keys, those of a cache first; padding lies beyond every query */
  readonly keyPositions: Value<"i32">
}

/** What the parts of a model in one graph share. */
export interface Context {
  readonly builder: Builder
  readonly shape: ModelShape
  readonly weights: Weights
  readonly gates: OutputGates | undefined
  readonly rotary: Attention.Rotary
  readonly bias: Value<"f32">
}

/** Keys and values of one layer, [batch, kvHeads, length, headDim]. */
export interface KeyValue {
  readonly key: Value<"f32">
  readonly value: Value<"f32">
}

/** Writes what all layers share: rotary angles and masks. */
export const context = (
  builder: Builder,
  shape: ModelShape,
  weights: Weights,
  { keyPositions, positions }: Places,
  gates?: OutputGates,
): Context => ({
  builder,
  shape,
  weights,
  gates,
  rotary: builder.scoped("rotary", () => Attention.rotary(builder, shape, positions)),
  bias: builder.scoped("mask", () => Attention.causalBias(builder, positions, keyPositions)),
})

const residual: Owner = { _tag: "Residual" }

/** x / √(mean(x²) + ε) · w over the last axis (Zhang & Sennrich, 2019). */
export const norm = ({ shape, weights }: Context, x: Value<"f32">, name: string): Value<"f32"> => {
  const meanSquare = Op.mean(Op.mul(x, x), -1)
  const scaled = Op.div(x, Op.sqrt(Op.add(meanSquare, x.builder.constant(shape.normEps))))
  return Op.mul(scaled, weights.tensor(name, [shape.hiddenSize], residual))
}

/** A linear layer of the checkpoint: x·Wᵀ (+ b). `biasOwner` is given where the bias has another owner than W. */
const project = (
  weights: Weights,
  x: Value<"f32">,
  { bias, weight }: Projection,
  out: number,
  owner: Owner,
  biasOwner: Owner = owner,
): Value<"f32"> => {
  const y = Op.linear(x, weights.tensor(weight, [out, Number(Op.dim(x, -1))], owner))
  return bias === undefined ? y : Op.add(y, weights.tensor(bias, [out], biasOwner))
}

const attention = (
  { bias, builder, gates, rotary, shape, weights }: Context,
  x: Value<"f32">,
  l: number,
  tensors: LayerTensors,
  past: KeyValue | undefined,
): { readonly output: Value<"f32">; readonly present: KeyValue } => {
  const { headDim, heads, hiddenSize, kvHeads } = shape
  const queryRows: Owner = { _tag: "QueryHeads", layer: l, axis: 0 }
  const kvRows: Owner = { _tag: "KvHeads", layer: l, axis: 0 }
  const query = project(weights, x, tensors.query, heads * headDim, queryRows)
  const key = project(weights, x, tensors.key, kvHeads * headDim, kvRows)
  const value = project(weights, x, tensors.value, kvHeads * headDim, kvRows)
  const rotatedKey = Attention.rotate(Attention.splitHeads(key, kvHeads, headDim), rotary)
  const splitValue = Attention.splitHeads(value, kvHeads, headDim)
  const present: KeyValue =
    past === undefined
      ? { key: rotatedKey, value: splitValue }
      : { key: Op.concat([past.key, rotatedKey], 2), value: Op.concat([past.value, splitValue], 2) }
  const rotatedQuery = Attention.rotate(Attention.splitHeads(query, heads, headDim), rotary)
  const mixed = Attention.attend(rotatedQuery, present.key, present.value, bias)
  const gated =
    gates === undefined
      ? mixed
      : Op.mul(mixed, Op.reshape(Op.gather(gates.heads, builder.indices(l), 0), [1, heads, 1, 1]))
  const outputColumns: Owner = { _tag: "QueryHeads", layer: l, axis: 1 }
  // The output bias is added once for all heads, so no head owns it.
  const output = project(
    weights,
    Attention.joinHeads(gated),
    tensors.output,
    hiddenSize,
    outputColumns,
    residual,
  )
  return { output, present }
}

const mlp = (
  { builder, gates, shape, weights }: Context,
  x: Value<"f32">,
  l: number,
  tensors: LayerTensors,
): Value<"f32"> => {
  const owner: Owner = { _tag: "Mlp", layer: l }
  const gate = project(weights, x, tensors.gate, shape.intermediateSize, owner)
  const up = project(weights, x, tensors.up, shape.intermediateSize, owner)
  const output = project(weights, Op.mul(Op.silu(gate), up), tensors.down, shape.hiddenSize, owner)
  return gates === undefined ? output : Op.mul(output, Op.gather(gates.mlp, builder.indices(l), 0))
}

/** Layer `l` over `hidden` [batch, sequence, hiddenSize], behind the keys and values of `past`. */
export const layer = (
  shared: Context,
  l: number,
  hidden: Value<"f32">,
  past?: KeyValue,
): { readonly hidden: Value<"f32">; readonly present: KeyValue } => {
  const { builder, shape } = shared
  const tensors = shape.layer(l)
  const attended = builder.scoped(`layers.${l}/attention`, () => {
    const { output, present } = attention(shared, norm(shared, hidden, tensors.inputNorm), l, tensors, past)
    return { hidden: Op.add(hidden, output), present }
  })
  const mixed = attended.hidden
  return {
    hidden: builder.scoped(`layers.${l}/mlp`, () =>
      Op.add(mixed, mlp(shared, norm(shared, mixed, tensors.postAttentionNorm), l, tensors)),
    ),
    present: attended.present,
  }
}
