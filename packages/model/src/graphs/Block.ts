/**
 * One layer of a decoder or encoder: attention and an MLP, each added to the residual stream; hidden state in, hidden
 * state out. What differs between architectures (norms, rotations, masks, layouts) is read from the shape.
 *
 * A layer can be written into any graph: whole models stack them, block graphs hold some of them.
 */
import {
  type LayerTensors,
  type Norm,
  type Projection,
  type Rope,
  type Stack,
  weightShape,
} from "../ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import { activate } from "./Activation.ts"
import * as Attention from "./Attention.ts"
import * as Rotary from "./Rotary.ts"
import type { Use } from "./Use.ts"
import type { Blocks, Owner, Weights } from "./Weights.ts"

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
export interface Context<S extends Stack = Stack> {
  readonly builder: Builder
  readonly shape: S
  readonly weights: Weights
  readonly gates: OutputGates | undefined
  /** Sees every use of a weight and says what its output is from there on; absent: the output as it is. */
  readonly onUse?: (use: Use) => Value<"f32">
  /** The rotation of a layer; layers with the same rope have the same. */
  readonly rotary: (rope: Rope) => Rotary.Rotary
  /** What a layer's queries may see. */
  readonly visibility: (reach: number | undefined) => Value<"f32">
}

/** Keys and values of one layer, [batch, kvHeads, length, headDim]. */
export interface KeyValue {
  readonly key: Value<"f32">
  readonly value: Value<"f32">
}

/** Makes what several layers share once each. */
const once = <K, A>(make: (key: K) => A): ((key: K) => A) => {
  const known = new Map<string, A>()
  return (key) => {
    const text = JSON.stringify(key) ?? ""
    const value = known.get(text) ?? make(key)
    known.set(text, value)
    return value
  }
}

/** What the layers of one graph share: weights, gates, and rotations and masks as they are needed. */
export const context = <S extends Stack>(
  builder: Builder,
  shape: S,
  weights: Weights,
  { keyPositions, positions }: Places,
  gates?: OutputGates,
): Context<S> => ({
  builder,
  shape,
  weights,
  gates,
  rotary: once((rope) => builder.scoped("rotary", () => Rotary.rotary(builder, rope, positions))),
  visibility: once((reach) =>
    builder.scoped("mask", () =>
      Attention.visibility(builder, positions, keyPositions, { causal: shape.causal, reach }),
    ),
  ),
})

const residual: Owner = { _tag: "Residual" }

/** The output of a use of a weight, as `onUse` has it. */
export const used = ({ onUse }: Context, use: Use): Value<"f32"> =>
  onUse === undefined ? use.output : onUse(use)

/** The norm of `x` over its last axis by the model's kind of norm; `x` itself where there is none. */
export const norm = (context: Context, x: Value<"f32">, tensors: Norm | undefined): Value<"f32"> => {
  if (tensors === undefined) return x
  const { shape, weights } = context
  const { builder } = x
  const size = [Number(Op.dim(x, -1))]
  const centred = shape.norm === "layer" ? Op.sub(x, Op.mean(x, -1)) : x
  const meanSquare = Op.mean(Op.mul(centred, centred), -1)
  const unit = Op.div(centred, Op.sqrt(Op.add(meanSquare, builder.constant(shape.normEps))))
  const weight = weights.tensor(tensors.weight, size, residual)
  const scaled = used(context, {
    tensor: tensors.weight,
    owner: residual,
    input: unit,
    output: Op.mul(unit, shape.norm === "rmsPlusOne" ? Op.add(weight, builder.constant(1)) : weight),
    by: (other) => Op.mul(unit, other.tensor(tensors.weight, size, residual)),
  })
  return tensors.bias === undefined ? scaled : biased(context, scaled, tensors.bias, size, residual)
}

/** y + b */
const biased = (
  context: Context,
  y: Value<"f32">,
  tensor: string,
  size: ReadonlyArray<number>,
  owner: Owner,
  blocks?: Blocks,
): Value<"f32"> => {
  const by = (weights: Weights) => weights.tensor(tensor, size, owner, blocks)
  return used(context, { tensor, owner, output: Op.add(y, by(context.weights)), by })
}

/** Whose a projection's outputs are, and whose its bias is where that differs. */
interface Owners {
  /** Along the outputs for query, key and value, along the inputs for the output projection. */
  readonly owner: (axis: { readonly outputs: 0 | 1; readonly inputs: 0 | 1 }) => Owner
  readonly bias: Owner
  /** Entries of one block of the outputs. */
  readonly block: number
}

/** A linear layer of the checkpoint: x·Wᵀ (+ b). */
export const project = (
  context: Context,
  x: Value<"f32">,
  linear: Projection,
  out: number,
  { bias: biasOwner, block, owner: ownerOf }: Owners = { owner: () => residual, bias: residual, block: out },
): Value<"f32"> => {
  const { bias, layout, transposed, weight } = linear
  const axes =
    transposed === true ? ({ outputs: 1, inputs: 0 } as const) : ({ outputs: 0, inputs: 1 } as const)
  const blocks = (axis: 0 | 1) =>
    layout === undefined
      ? undefined
      : { axis, offset: layout.offset, stride: layout.stride, size: block, count: out / block }
  const stored = weightShape(linear, [Number(Op.dim(x, -1)), out])
  const owner = ownerOf(axes)
  const own = (weights: Weights) => weights.tensor(weight, stored, owner, blocks(axes.outputs))
  const by = (weights: Weights, input = x) =>
    weights.linear?.(input, weight) ??
    (transposed === true ? Op.matMul(input, own(weights)) : Op.linear(input, own(weights)))
  const y = used(context, {
    tensor: weight,
    owner,
    input: x,
    output: by(context.weights),
    by,
    back: (weights, adjoint) =>
      transposed === true ? Op.linear(adjoint, own(weights)) : Op.matMul(adjoint, own(weights)),
    alongInputs: "axis" in owner && owner.axis === axes.inputs,
  })
  return bias === undefined ? y : biased(context, y, bias, [layout?.total ?? out], biasOwner, blocks(0))
}

const attention = (
  context: Context,
  x: Value<"f32">,
  l: number,
  tensors: LayerTensors,
  past: KeyValue | undefined,
): { readonly output: Value<"f32">; readonly present: KeyValue } => {
  const { builder, gates, shape } = context
  const { attentionSoftcap: softcap, headDim, heads, hiddenSize, kvHeads, queryKeyNorm } = shape
  const { reach, rope, scale } = shape.attention[l] ?? { scale: headDim ** -0.5 }
  const projected = (role: "query" | "key" | "value", count: number) => {
    const tag = role === "query" ? "QueryHeads" : "KvHeads"
    const y = project(context, x, tensors[role], count * headDim, {
      owner: ({ outputs }) => ({ _tag: tag, layer: l, axis: outputs }),
      bias: { _tag: tag, layer: l, axis: 0 },
      block: headDim,
    })
    const normed = role === "value" ? undefined : tensors.norms[role]
    const whole = queryKeyNorm === "whole" ? norm(context, y, normed) : y
    const split = Attention.splitHeads(whole, count, headDim)
    const even = queryKeyNorm === "head" ? norm(context, split, normed) : split
    return rope === undefined || role === "value" ? even : Rotary.rotate(even, context.rotary(rope))
  }
  const query = projected("query", heads)
  const key = projected("key", kvHeads)
  const value = projected("value", kvHeads)
  const present: KeyValue =
    past === undefined
      ? { key, value }
      : { key: Op.concat([past.key, key], 2), value: Op.concat([past.value, value], 2) }
  const mixed = Attention.attend(query, present.key, present.value, context.visibility(reach), {
    scale,
    softcap,
  })
  const gated =
    gates === undefined
      ? mixed
      : Op.mul(mixed, Op.reshape(Op.gather(gates.heads, builder.indices(l), 0), [1, heads, 1, 1]))
  const output = project(context, Attention.joinHeads(gated), tensors.output, hiddenSize, {
    owner: ({ inputs }) => ({ _tag: "QueryHeads", layer: l, axis: inputs }),
    // The output bias is added once for all heads, so no head owns it.
    bias: residual,
    block: hiddenSize,
  })
  return { output, present }
}

const mlp = (context: Context, x: Value<"f32">, l: number, tensors: LayerTensors): Value<"f32"> => {
  const { builder, gates, shape } = context
  const { activation, hiddenSize, intermediateSize } = shape
  const owner: Owner = { _tag: "Mlp", layer: l }
  const linear = (y: Value<"f32">, projection: Projection, out: number) =>
    project(context, y, projection, out, { owner: () => owner, bias: owner, block: out })
  const up = linear(x, tensors.up, intermediateSize)
  const inner =
    tensors.gate === undefined
      ? activate(up, activation)
      : Op.mul(activate(linear(x, tensors.gate, intermediateSize), activation), up)
  const output = linear(inner, tensors.down, hiddenSize)
  return gates === undefined ? output : Op.mul(output, Op.gather(gates.mlp, builder.indices(l), 0))
}

/** Layer `l` over `hidden` [batch, sequence, hiddenSize], behind the keys and values of `past`. */
export const layer = (
  context: Context,
  l: number,
  hidden: Value<"f32">,
  past?: KeyValue,
): { readonly hidden: Value<"f32">; readonly present: KeyValue } => {
  const { builder, shape } = context
  const tensors = shape.layer(l)
  const { norms } = tensors
  const onto = (stream: Value<"f32">, update: Value<"f32">) =>
    Op.add(stream, shape.residualScale === 1 ? update : Op.mul(update, builder.constant(shape.residualScale)))
  // Shared by all layers, hence outside of this one's names.
  const { reach, rope } = shape.attention[l] ?? {}
  context.visibility(reach)
  if (rope !== undefined) context.rotary(rope)
  const attended = builder.scoped(`layers.${l}/attention`, () => {
    const input = norm(context, hidden, norms.attentionInput)
    const { output, present } = attention(context, input, l, tensors, past)
    const sum = onto(hidden, norm(context, output, norms.attentionOutput))
    return { input, present, hidden: norm(context, sum, norms.attentionSum) }
  })
  const mixed = builder.scoped(`layers.${l}/mlp`, () => {
    const stream = shape.parallel ? hidden : attended.hidden
    // Parallel blocks without a norm of their own for the MLP share the attention's.
    const input =
      shape.parallel && norms.mlpInput === undefined ? attended.input : norm(context, stream, norms.mlpInput)
    const output = norm(context, mlp(context, input, l, tensors), norms.mlpOutput)
    return norm(context, onto(attended.hidden, output), norms.mlpSum)
  })
  return { hidden: mixed, present: attended.present }
}
