/**
 * Operators that move elements without computing: reshape, transpose, concatenate, split, gather.
 */
import { at, known } from "@hila/core/Lookup"
import type { ElementType } from "./ElementType.ts"
import type { Value } from "./Graph.ts"
import type { Dim } from "./Shape.ts"
import * as Shape from "./Shape.ts"

/** The single output of an operator that has one. */
export const only = <T extends ElementType>(outputs: ReadonlyArray<Value<T>>): Value<T> =>
  // `Builder.add` returns one value per declared output.
  outputs[0] as Value<T>

/** The axis counted from the front; `axis` may be negative. Fails outside the rank. */
export const axisOf = (operator: string, x: Value, axis: number): number => {
  const rank = x.shape.length
  const from = axis < 0 ? axis + rank : axis
  return from >= 0 && from < rank
    ? from
    : x.builder.fail(operator, `axis ${axis} is outside ${x.name} ${Shape.show(x.shape)}`)
}

/** The size along an axis (negative axes count from the back). */
export const dim = (x: Value, axis: number): Dim => at(x.shape, axisOf("dim", x, axis))

/**
 * The same elements in another shape of the same volume. ONNX takes at most one size that is neither a number nor
 * the input's own at that axis; `reshape` works out which one that is.
 */
export const reshape = <T extends ElementType>(x: Value<T>, shape: Shape.Shape): Value<T> => {
  const [from, to] = [Shape.product(x.shape), Shape.product(shape)]
  if (from !== to) {
    x.builder.fail(
      "Reshape",
      `${x.name} ${Shape.show(x.shape)} has ${from} elements, ${Shape.show(shape)} has ${to}`,
    )
  }
  const sizes = shape.map((d, i) => (typeof d === "number" ? d : d === x.shape[i] ? 0 : -1))
  if (sizes.filter((s) => s === -1).length > 1) {
    x.builder.fail("Reshape", `${Shape.show(x.shape)} to ${Shape.show(shape)} leaves two sizes open`)
  }
  return only(x.builder.add("Reshape", [x, x.builder.integers(sizes)], [{ type: x.type, shape }]))
}

/** Axes in a new order: output axis i is input axis `order[i]`. */
export const transpose = <T extends ElementType>(x: Value<T>, order: ReadonlyArray<number>): Value<T> => {
  const valid =
    order.length === x.shape.length && order.toSorted((a, b) => a - b).every((axis, i) => axis === i)
  if (!valid)
    x.builder.fail("Transpose", `[${order.join(", ")}] does not permute ${x.name} ${Shape.show(x.shape)}`)
  const shape = order.map((axis) => at(x.shape, axis))
  return only(
    x.builder.add("Transpose", [x], [{ type: x.type, shape }], { perm: { _tag: "Ints", value: order } }),
  )
}

/** Values one after another along an axis; all other sizes are equal. */
export const concat = <T extends ElementType>(
  values: readonly [Value<T>, ...ReadonlyArray<Value<T>>],
  axis: number,
): Value<T> => {
  const [first] = values
  const at = axisOf("Concat", first, axis)
  for (const value of values) {
    if (
      value.shape.length !== first.shape.length ||
      value.shape.some((d, i) => i !== at && d !== first.shape[i])
    ) {
      first.builder.fail(
        "Concat",
        `${first.name} ${Shape.show(first.shape)} and ${value.name} ${Shape.show(value.shape)} differ outside axis ${at}`,
      )
    }
  }
  const shape = first.shape.with(at, Shape.sum(values.map((value) => known(value.shape[at]))))
  return only(
    first.builder.add("Concat", values, [{ type: first.type, shape }], { axis: { _tag: "Int", value: at } }),
  )
}

/** Consecutive parts of these sizes along an axis of known size. */
export const split = <T extends ElementType>(
  x: Value<T>,
  sizes: ReadonlyArray<number>,
  axis: number,
): ReadonlyArray<Value<T>> => {
  const at = axisOf("Split", x, axis)
  if (x.shape[at] !== sizes.reduce((sum, size) => sum + size, 0)) {
    x.builder.fail("Split", `axis ${at} of ${x.name} ${Shape.show(x.shape)} is no sum of ${sizes.join(", ")}`)
  }
  const parts = sizes.map((size) => ({ type: x.type, shape: x.shape.with(at, size) }))
  return x.builder.add("Split", [x, x.builder.integers(sizes)], parts, { axis: { _tag: "Int", value: at } })
}

/** Two equal halves along an axis of known, even size. */
export const halves = <T extends ElementType>(x: Value<T>, axis: number): readonly [Value<T>, Value<T>] => {
  const at = axisOf("Split", x, axis)
  const size = x.shape[at]
  if (typeof size !== "number" || size % 2 !== 0) {
    return x.builder.fail("Split", `axis ${at} of ${x.name} ${Shape.show(x.shape)} has no two halves`)
  }
  const [first, second] = split(x, [size / 2, size / 2], at)
  // One part per size.
  return [first as Value<T>, second as Value<T>]
}

/** Entries of `x` along an axis; the axis is replaced by the shape of `indices` (a scalar index removes it). */
export const gather = <T extends ElementType>(x: Value<T>, indices: Value<"i32">, axis: number): Value<T> => {
  const at = axisOf("Gather", x, axis)
  const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)]
  return only(
    x.builder.add("Gather", [x, indices], [{ type: x.type, shape }], { axis: { _tag: "Int", value: at } }),
  )
}

/** One element per index along an axis: out[i][j] = x[i][indices[i][j]] for axis 1 of a matrix. */
export const gatherElements = <T extends ElementType>(
  x: Value<T>,
  indices: Value<"i32">,
  axis: number,
): Value<T> => {
  const at = axisOf("GatherElements", x, axis)
  if (indices.shape.length !== x.shape.length || indices.shape.some((d, i) => i !== at && d !== x.shape[i])) {
    x.builder.fail(
      "GatherElements",
      `indices ${Shape.show(indices.shape)} do not fit ${x.name} ${Shape.show(x.shape)} outside axis ${at}`,
    )
  }
  return only(
    x.builder.add("GatherElements", [x, indices], [{ type: x.type, shape: indices.shape }], {
      axis: { _tag: "Int", value: at },
    }),
  )
}
