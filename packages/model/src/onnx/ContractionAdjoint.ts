/**
 * Adjoints of the operators of `Contraction.ts`.
 */
import { last } from "@hila/core/Lookup"
import { int, real, type Rules, single, sumTo } from "./Adjoint.ts"
import * as Op from "./Contraction.ts"
import { exp, mul, sub } from "./Elementwise.ts"
import { expandAs } from "./Extent.ts"
import type { Value } from "./Graph.ts"
import { reshape, transpose } from "./Layout.ts"
import * as Shape from "./Shape.ts"

/** The last two axes swapped. */
const swapped = (x: Value<"f32">): Value<"f32"> => {
  const order = [...x.shape.keys()]
  return transpose(x, [...order.slice(0, -2), order.length - 1, order.length - 2])
}

/** All axes but the last as one. */
const flat = (x: Value<"f32">): Value<"f32"> =>
  reshape(x, [Shape.product(x.shape.slice(0, -1)), last(x.shape)])

/** Aᵀ·dC. Where B is one matrix for all leading axes of A, they are summed inside the product. */
const ofRight = (a: Value<"f32">, b: Value<"f32">, dc: Value<"f32">): Value<"f32"> =>
  b.shape.length === 2 ? Op.matMul(swapped(flat(a)), flat(dc)) : sumTo(Op.matMul(swapped(a), dc), b)

const elements = (x: Value, axes: ReadonlyArray<number>, y: Value<"f32">): number =>
  axes.reduce((count, axis) => {
    const size = x.shape[axis]
    return typeof size === "number"
      ? count * size
      : y.builder.fail("ReduceMean", `axis ${axis} of ${x.name} ${Shape.show(x.shape)} has no known size`)
  }, 1)

/** The axes a reduction that keeps them has made 1; summing over an axis of size 1 changes nothing. */
const reducedAxes = (x: Value, y: Value): ReadonlyArray<number> =>
  x.shape.flatMap((size, i) => (y.shape[i] === size ? [] : [i]))

export const rules: Rules = {
  MatMul: single((_y, dc, [left, right]) => {
    const [a, b] = [real(left), real(right)]
    return [() => sumTo(Op.matMul(dc, swapped(b)), a), () => ofRight(a, b, dc)]
  }),
  ReduceSum: single((_y, dy, [x]) => [() => expandAs(dy, real(x))]),
  ReduceMean: single((y, dy, [input]) => {
    const x = real(input)
    const scale = () => y.builder.constant(1 / elements(x, reducedAxes(x, y), y))
    return [() => expandAs(mul(dy, scale()), x)]
  }),
  Softmax: single((y, dy, _inputs, node) => [() => mul(y, sub(dy, Op.sum(mul(dy, y), [int(node, "axis")])))]),
  LogSoftmax: single((y, dy, _inputs, node) => [() => sub(dy, mul(exp(y), Op.sum(dy, [int(node, "axis")])))]),
}
