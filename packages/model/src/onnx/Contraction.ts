/**
 * Operators that sum over an axis: matrix products, means, softmax, argmax. All in f32.
 */
import { axisOf, only, transpose } from "./Layout.ts"
import type { Value } from "./Graph.ts"
import * as Shape from "./Shape.ts"

/** Matrix product over the last two axes, [..., m, k] · [..., k, n]; leading axes broadcast. */
export const matMul = (a: Value<"f32">, b: Value<"f32">): Value<"f32"> => {
  const misfit = () =>
    a.builder.fail(
      "MatMul",
      `${a.name} ${Shape.show(a.shape)} and ${b.name} ${Shape.show(b.shape)}: expected [..., m, k] · [..., k, n]`,
    )
  const [m, k] = a.shape.slice(-2)
  const [inner, n] = b.shape.slice(-2)
  if (m === undefined || k === undefined || n === undefined || k !== inner) return misfit()
  const batch = Shape.broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)) ?? misfit()
  return only(a.builder.add("MatMul", [a, b], [{ type: "f32", shape: [...batch, m, n] }]))
}

/** x · Wᵀ for a weight in the checkpoint layout [out, in]: [..., in] → [..., out]. */
export const linear = (x: Value<"f32">, weight: Value<"f32">): Value<"f32"> =>
  matMul(x, transpose(weight, [1, 0]))

const reduced = (operator: string, x: Value<"f32">, axes: ReadonlyArray<number>): Value<"f32"> => {
  const over = axes.map((axis) => axisOf(operator, x, axis))
  const shape = x.shape.map((size, i) => (over.includes(i) ? 1 : size))
  return only(
    x.builder.add(operator, [x, x.builder.integers(over)], [{ type: "f32", shape }], {
      keepdims: { _tag: "Int", value: 1 },
    }),
  )
}

/** The mean along one axis, which stays with size 1. */
export const mean = (x: Value<"f32">, axis: number): Value<"f32"> => reduced("ReduceMean", x, [axis])

/** The sum along axes, which stay with size 1. */
export const sum = (x: Value<"f32">, axes: ReadonlyArray<number>): Value<"f32"> =>
  reduced("ReduceSum", x, axes)

const along = (operator: string) => (x: Value<"f32">, axis: number) =>
  only(
    x.builder.add(operator, [x], [{ type: "f32", shape: x.shape }], {
      axis: { _tag: "Int", value: axisOf(operator, x, axis) },
    }),
  )

/** e^x / Σ e^x along an axis. */
export const softmax = along("Softmax")
/** x − log Σ e^x along an axis. */
export const logSoftmax = along("LogSoftmax")

/** The index of the largest element along an axis, the lowest one among equals; the axis disappears. */
export const argMax = (x: Value<"f32">, axis: number): Value<"i64"> => {
  const at = axisOf("ArgMax", x, axis)
  const shape = x.shape.filter((_, i) => i !== at)
  return only(
    x.builder.add("ArgMax", [x], [{ type: "i64", shape }], {
      axis: { _tag: "Int", value: at },
      keepdims: { _tag: "Int", value: 0 },
    }),
  )
}
