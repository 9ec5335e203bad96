/**
 * Operators that follow the size of another value: expanding, reshaping and filling to it, and adding into zeros of
 * its shape. Sizes known while building are written into the graph; symbolic ones are read when it runs.
 */
import { known } from "@hila/core/Lookup"
import { axisOf, only, reshape } from "./Layout.ts"
import type { Value } from "./Graph.ts"
import * as Shape from "./Shape.ts"

/** The sizes of a value as i64: a constant where all are known, else read from the value. */
const sizesOf = (x: Value): Value<"i64"> =>
  x.shape.every((dim) => typeof dim === "number")
    ? x.builder.integers(x.shape.map(Number))
    : only(x.builder.add("Shape", [x], [{ type: "i64", shape: [x.shape.length] }]))

/** `x` repeated along its axes of size 1 (and missing leading axes) up to the shape of `like`. */
export const expandAs = <T extends "f32" | "i32">(x: Value<T>, like: Value): Value<T> => {
  if (Shape.equal(x.shape, like.shape)) return x
  const shape = Shape.broadcast(x.shape, like.shape)
  if (shape === undefined || !Shape.equal(shape, like.shape)) {
    x.builder.fail("Expand", `${x.name} ${Shape.show(x.shape)} does not expand to ${Shape.show(like.shape)}`)
  }
  return only(x.builder.add("Expand", [x, sizesOf(like)], [{ type: x.type, shape: like.shape }]))
}

/** The elements of `x` in the shape of `like`, whatever sizes are symbolic. */
export const reshapeAs = (x: Value<"f32">, like: Value): Value<"f32"> => {
  if (Shape.equal(x.shape, like.shape)) return x
  const open = like.shape.filter((dim, i) => typeof dim !== "number" && dim !== x.shape[i])
  if (open.length <= 1) return reshape(x, like.shape)
  if (Shape.product(x.shape) !== Shape.product(like.shape)) {
    x.builder.fail("Reshape", `${x.name} ${Shape.show(x.shape)} has other elements than ${like.name}`)
  }
  return only(x.builder.add("Reshape", [x, sizesOf(like)], [{ type: "f32", shape: like.shape }]))
}

/** Zeros in the shape of `like`. */
export const zerosLike = (like: Value): Value<"f32"> =>
  only(like.builder.add("ConstantOfShape", [sizesOf(like)], [{ type: "f32", shape: like.shape }]))

/**
 * The parts of `x` that values of these shapes would have been joined from along an axis: the inverse of `concat`.
 */
export const splitAs = (
  x: Value<"f32">,
  parts: ReadonlyArray<Value>,
  axis: number,
): ReadonlyArray<Value<"f32">> => {
  const at = axisOf("Split", x, axis)
  const { builder } = x
  const isKnown = parts.every(({ shape }) => typeof shape[at] === "number")
  const sizes: Value<"i64"> = isKnown
    ? builder.integers(parts.map(({ shape }) => Number(shape[at])))
    : only(
        builder.add(
          "Concat",
          parts.map((part) =>
            only(
              builder.add("Shape", [part], [{ type: "i64", shape: [1] }], {
                start: { _tag: "Int", value: at },
                end: { _tag: "Int", value: at + 1 },
              }),
            ),
          ),
          [{ type: "i64", shape: [parts.length] }],
          { axis: { _tag: "Int", value: 0 } },
        ),
      )
  return builder.add(
    "Split",
    [x, sizes],
    parts.map(({ shape }) => ({ type: "f32", shape: x.shape.with(at, known(shape[at])) })),
    { axis: { _tag: "Int", value: at } },
  )
}

/**
 * Zeros in the shape of `like`, plus each update at its index along an axis; updates of one index add up.
 *
 * ScatterND would need no index per element, but ONNX Runtime adds in several threads there without a lock: with
 * repeated indices, sums come out wrong from run to run. ScatterElements adds one after another.
 */
export const scatterAdd = (
  like: Value,
  indices: Value<"i32">,
  updates: Value<"f32">,
  axis: number,
): Value<"f32"> =>
  only(
    like.builder.add(
      "ScatterElements",
      [zerosLike(like), indices, updates],
      [{ type: "f32", shape: like.shape }],
      {
        axis: { _tag: "Int", value: axisOf("ScatterElements", like, axis) },
        reduction: { _tag: "String", value: "add" },
      },
    ),
  )
