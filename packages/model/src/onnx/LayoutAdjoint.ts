/**
 * Adjoints of the operators of `Layout.ts`, and of those of `Extent.ts` that a forward graph is written with.
 */
import { int, real, type Rules, single, sumTo } from "./Adjoint.ts"
import { expandAs, reshapeAs, scatterAdd, splitAs, zerosLike } from "./Extent.ts"
import type { Value } from "./Graph.ts"
import { concat, reshape, transpose } from "./Layout.ts"
import * as Shape from "./Shape.ts"

/** The adjoint of entries gathered along an axis: added back where they came from. */
const ofGathered = (x: Value<"f32">, indices: Value<"i32">, dy: Value<"f32">, axis: number): Value<"f32"> => {
  const count = Shape.product(indices.shape)
  const entries = reshape(dy, x.shape.with(axis, count))
  const aligned = reshape(
    indices,
    x.shape.map((_, i) => (i === axis ? count : 1)),
  )
  return scatterAdd(x, expandAs(aligned, entries), entries, axis)
}

export const rules: Rules = {
  Identity: single((_y, dy) => [() => dy]),
  Reshape: single((_y, dy, [x]) => [() => reshapeAs(dy, real(x))]),
  Expand: single((_y, dy, [x]) => [() => sumTo(dy, real(x))]),
  Transpose: single((_y, dy, _inputs, { attributes: { perm } }) => {
    const order = perm?._tag === "Ints" ? perm.value : []
    return [
      () =>
        transpose(
          dy,
          order.map((_, i) => order.indexOf(i)),
        ),
    ]
  }),
  Concat: single((_y, dy, inputs, node) => {
    let parts: ReadonlyArray<Value<"f32">> | undefined
    return inputs.map((_, i) => () => {
      parts ??= splitAs(dy, inputs, int(node, "axis"))
      return real(parts[i])
    })
  }),
  Split: (node, adjoints) => {
    const [first, ...rest] = node.outputs.map((output, i) => adjoints[i] ?? zerosLike(output))
    return [() => concat([real(first), ...rest], int(node, "axis"))]
  },
  Gather: single((_y, dy, [x, indices], node) => [
    () => ofGathered(real(x), indices as Value<"i32">, dy, int(node, "axis")),
  ]),
  GatherElements: single((_y, dy, [x, indices], node) => [
    () => scatterAdd(real(x), indices as Value<"i32">, dy, int(node, "axis")),
  ]),
}
