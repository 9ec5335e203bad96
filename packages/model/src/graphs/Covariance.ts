/**
 * Covariances of what linear layers read and of the derivatives of what they return, in full or only the part that tells
 * units apart: diagonal blocks along heads, the diagonal inside of the MLP.
 */
import { entryOr } from "@hila/core/Lookup"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"

type Real = Value<"f32">

/** The form of a covariance of n entries: in full, a number of entries per diagonal block, or the diagonal. */
export type Form = "full" | "diagonal" | number

/** The shape of a covariance of `size` entries in a form. */
export const shapeOf = (size: number, form: Form): ReadonlyArray<number> =>
  form === "full" ? [size, size] : form === "diagonal" ? [size] : [size / form, form, form]

/** Σ over rows of x·xᵀ for x [rows, size]. */
export const of = (x: Real, form: Form): Real => {
  const size = Number(Op.dim(x, 1))
  if (form === "full") return Op.matMul(Op.transpose(x, [1, 0]), x)
  if (form === "diagonal") return Op.reshape(Op.sum(Op.mul(x, x), [0]), [size])
  const blocks = Op.reshape(x, [Op.dim(x, 0), size / form, form])
  return Op.matMul(Op.transpose(blocks, [1, 2, 0]), Op.transpose(blocks, [1, 0, 2]))
}

/** [batch, sequence, size] or [rows, size] as [rows, size]. */
export const flat = (x: Real): Real =>
  x.shape.length === 2 ? x : Op.reshape(x, ["batch*sequence", Op.dim(x, -1)])

/** The forms of what linear layers read and return: those of A and S where units are wanted apart. */
export const formsOf = (shape: ModelShape, blocked: boolean) => {
  const input = new Map<string, Form>()
  const output = new Map<string, Form>()
  for (const layer of blocked ? shape.layers : []) {
    for (const role of ["query", "key", "value"] as const) output.set(layer[role].weight, shape.headDim)
    input.set(layer.output.weight, shape.headDim)
    for (const { weight } of [layer.up, ...(layer.gate === undefined ? [] : [layer.gate])]) {
      output.set(weight, "diagonal")
    }
    input.set(layer.down.weight, "diagonal")
  }
  return {
    ofInput: (weight: string): Form => entryOr(input, weight, "full"),
    ofOutput: (weight: string): Form => entryOr(output, weight, "full"),
  }
}
