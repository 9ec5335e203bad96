/**
 * Operators that work element by element, with numpy broadcasting.
 */
import type { ElementType } from "./ElementType.ts"
import type { Value } from "./Graph.ts"
import { only } from "./Layout.ts"
import { onnxCode } from "./ElementType.ts"
import * as Shape from "./Shape.ts"

type Numeric = "f32" | "i32" | "i64"

const broadcast = (operator: string, a: Value, b: Value): Shape.Shape =>
  Shape.broadcast(a.shape, b.shape) ??
  a.builder.fail(
    operator,
    `${a.name} ${Shape.show(a.shape)} and ${b.name} ${Shape.show(b.shape)} do not broadcast`,
  )

const binary =
  (operator: string) =>
  <T extends Numeric>(a: Value<T>, b: Value<NoInfer<T>>): Value<T> =>
    only(a.builder.add(operator, [a, b], [{ type: a.type, shape: broadcast(operator, a, b) }]))

const unary =
  (operator: string) =>
  (x: Value<"f32">): Value<"f32"> =>
    only(x.builder.add(operator, [x], [{ type: "f32", shape: x.shape }]))

/** a + b */
export const add = binary("Add")
/** a − b */
export const sub = binary("Sub")
/** a · b, element by element */
export const mul = binary("Mul")
/** a / b */
export const div = binary("Div")

/** √x */
export const sqrt = unary("Sqrt")
/** 1 / (1 + e^−x) */
export const sigmoid = unary("Sigmoid")
/** −x */
export const neg = unary("Neg")
/** |x| */
export const abs = unary("Abs")
/** e^x */
export const exp = unary("Exp")
/** tanh x */
export const tanh = unary("Tanh")
/** The Gauss error function, 2/√π · ∫₀ˣ e^(−t²) dt */
export const erf = unary("Erf")
/** max(x, 0) */
export const relu = unary("Relu")
/** sin x, x in radians */
export const sin = unary("Sin")
/** cos x, x in radians */
export const cos = unary("Cos")

/** x · sigmoid(x), the activation of Llama's MLP (Elfwing et al., 2018). */
export const silu = (x: Value<"f32">): Value<"f32"> => mul(x, sigmoid(x))

/** a ≤ b, as bool. */
export const lessOrEqual = <T extends Numeric>(a: Value<T>, b: Value<NoInfer<T>>): Value<"bool"> =>
  only(a.builder.add("LessOrEqual", [a, b], [{ type: "bool", shape: broadcast("LessOrEqual", a, b) }]))

/** `whenTrue` where the condition holds, else `whenFalse`. */
export const where = (
  condition: Value<"bool">,
  whenTrue: Value<"f32">,
  whenFalse: Value<"f32">,
): Value<"f32"> => {
  const branches = broadcast("Where", whenTrue, whenFalse)
  const shape =
    Shape.broadcast(condition.shape, branches) ??
    condition.builder.fail(
      "Where",
      `condition ${Shape.show(condition.shape)} does not fit ${Shape.show(branches)}`,
    )
  return only(condition.builder.add("Where", [condition, whenTrue, whenFalse], [{ type: "f32", shape }]))
}

/** The same numbers in another element type; no node where the type is already right. */
export const cast = <T extends ElementType>(x: Value, type: T): Value<T> =>
  x.type === type
    ? (x as Value<T>)
    : only(
        x.builder.add("Cast", [x], [{ type, shape: x.shape }], {
          to: { _tag: "Int", value: onnxCode[type] },
        }),
      )
