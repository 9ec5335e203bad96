/**
 * What combines a value with weights: linear layers, biases and norms. Every use of a weight goes through the context,
 * where it may be seen and changed.
 */
import { type Norm, type Projection, weightShape } from "../architectures/ModelShape.ts"
import type { Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import { type Context, used } from "./Context.ts"
import type { Blocks, Owner, Weights } from "./Weights.ts"

const residual: Owner = { _tag: "Residual" }

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
