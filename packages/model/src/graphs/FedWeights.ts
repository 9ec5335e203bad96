/**
 * Weights that a graph takes as inputs, so that one session serves every block of its kind.
 *
 * The inputs are named by the order in which they are asked for, which is the same for every block of a kind; `inputs`
 * says which tensor of the checkpoint each of them stands for. Nothing is read here.
 */
import type { Builder, Value } from "../onnx/Graph.ts"
import type { Shape } from "../onnx/Shape.ts"
import * as Weights from "./Weights.ts"

/** An input that stands for a tensor, and rows of tensors that stand for positions of another input. */
export interface Inputs {
  /** Input → tensor. */
  readonly tensors: Map<string, string>
  /** Input → the tensor, and the input whose elements say which rows of it. */
  readonly rows: Map<string, { readonly tensor: string; readonly indices: string }>
}

/**
 * The weights of a checkpoint, whose inputs are added to `inputs`. `sliced` is a tensor of which only some rows are fed,
 * as many as `slice`.
 */
export const make = (
  builder: Builder,
  { rows, tensors }: Inputs,
  sliced: string | undefined,
): Weights.Weights => {
  const feed = (tensor: string, shape: Shape): Value<"f32"> => {
    const input = `weight.${tensors.size}`
    tensors.set(input, tensor)
    return builder.input(input, "f32", shape)
  }
  const whole = Weights.cached((name, shape) =>
    feed(name, name === sliced ? ["slice", ...shape.slice(1)] : shape),
  )
  return {
    tensor: Weights.cached((name, shape, owner, blocks) => {
      const tensor = whole(name, shape, owner)
      return blocks === undefined ? tensor : Weights.blocksOf(tensor, blocks)
    }),
    rows: (name, shape, indices) => {
      const input = `rows.${rows.size}`
      rows.set(input, { tensor: name, indices: indices.name })
      return builder.input(input, "f32", [...indices.shape, ...shape.slice(1)])
    },
  }
}
