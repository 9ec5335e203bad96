/**
 * One layer of a decoder or encoder: attention and an MLP, each added to the residual stream; hidden state in, hidden
 * state out. What differs between architectures (norms, rotations, masks, layouts) is read from the shape.
 *
 * A layer can be written into any graph: whole models stack them, block graphs hold some of them.
 */
import { at } from "@hila/core/Lookup"
import type { LayerTensors, Projection } from "../architectures/ModelShape.ts"
import type { Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import { activate } from "./Activation.ts"
import * as Attention from "./Attention.ts"
import type { Context } from "./Context.ts"
import { norm, project } from "./Linear.ts"
import * as Rotary from "./Rotary.ts"
import type { Owner } from "./Weights.ts"

/** Keys and values of one layer, [batch, kvHeads, length, headDim]. */
export interface KeyValue {
  readonly key: Value<"f32">
  readonly value: Value<"f32">
}

const residual: Owner = { _tag: "Residual" }

const attention = (
  context: Context,
  x: Value<"f32">,
  l: number,
  tensors: LayerTensors,
  past: KeyValue | undefined,
): { readonly output: Value<"f32">; readonly present: KeyValue } => {
  const { builder, gates, shape } = context
  const { attentionSoftcap: softcap, headDim, heads, hiddenSize, kvHeads, queryKeyNorm } = shape
  const { reach, rope, scale } = at(shape.attention, l)
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
  const tensors = at(shape.layers, l)
  const { norms } = tensors
  const onto = (stream: Value<"f32">, update: Value<"f32">) =>
    Op.add(stream, shape.residualScale === 1 ? update : Op.mul(update, builder.constant(shape.residualScale)))
  // Shared by all layers, hence outside of this one's names.
  const { reach, rope } = at(shape.attention, l)
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
