/**
 * Products of 8-bit integers: activations quantised as they come, weights quantised before.
 *
 * No rule of differentiation lies beside them: quantised graphs are run, not trained.
 */
import { cast, mul } from "./Elementwise.ts"
import type { Value } from "./Graph.ts"
import { only } from "./Layout.ts"
import * as Shape from "./Shape.ts"

/**
 * x · W for x f32 [..., in] and W i8 [in, out] with one scale per column: x is quantised to unsigned 8 bits with one scale
 * and zero point for the whole tensor (DynamicQuantizeLinear), multiplied as integers (MatMulInteger) and scaled back.
 *
 * The sums are exact in 32 bits, on processors without VNNI instructions too: `SessionOptions` asks for it. What is lost
 * is what 8 bits leave of the activations, half a step (their range / 255) per term.
 */
export const matMul = (x: Value<"f32">, weight: Value<"i8">, scale: Value<"f32">): Value<"f32"> => {
  const { builder } = x
  const [inner, out] = weight.shape
  if (weight.shape.length !== 2 || inner === undefined || out === undefined || x.shape.at(-1) !== inner) {
    builder.fail(
      "MatMulInteger",
      `${x.name} ${Shape.show(x.shape)} and ${weight.name} ${Shape.show(weight.shape)}: expected [..., in] · [in, out]`,
    )
  }
  const [quantised, step, zero] = builder.add(
    "DynamicQuantizeLinear",
    [x],
    [
      { type: "u8", shape: x.shape },
      { type: "f32", shape: [] },
      { type: "u8", shape: [] },
    ],
  ) as unknown as readonly [Value<"u8">, Value<"f32">, Value<"u8">]
  const product = only(
    builder.add(
      "MatMulInteger",
      [quantised, weight, zero],
      [{ type: "i32", shape: [...x.shape.slice(0, -1), out ?? 1] }],
    ),
  )
  return mul(cast(product, "f32"), mul(step, scale))
}
