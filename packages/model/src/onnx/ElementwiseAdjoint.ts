/**
 * Adjoints of the operators of `Elementwise.ts`.
 */
import { real, type Rules, single, sumTo } from "./Adjoint.ts"
import type { Value } from "./Graph.ts"
import * as Op from "./Elementwise.ts"

const one = (x: Value): Value<"f32"> => x.builder.constant(1)
const zero = (x: Value): Value<"f32"> => x.builder.constant(0)

/** y = f(x) with dx = dy · f′, where f′ is written from y and x. */
const pointwise = (derivative: (y: Value<"f32">, x: Value<"f32">) => Value<"f32">) =>
  single((y, dy, [x]) => [() => Op.mul(dy, derivative(y, real(x)))])

export const rules: Rules = {
  Add: single((_y, dy, inputs) => inputs.map((x) => () => sumTo(dy, x))),
  Sub: single((_y, dy, [a, b]) => [() => sumTo(dy, real(a)), () => sumTo(Op.neg(dy), real(b))]),
  Mul: single((_y, dy, [a, b]) => [
    () => sumTo(Op.mul(dy, real(b)), real(a)),
    () => sumTo(Op.mul(dy, real(a)), real(b)),
  ]),
  Div: single((y, dy, [a, b]) => [
    () => sumTo(Op.div(dy, real(b)), real(a)),
    () => sumTo(Op.neg(Op.div(Op.mul(dy, y), real(b))), real(b)),
  ]),
  Neg: single((_y, dy) => [() => Op.neg(dy)]),
  /** The derivative at 0 is taken as 0. */
  Abs: single((y, dy, [x]) => [
    () =>
      Op.where(
        Op.lessOrEqual(y, zero(y)),
        zero(y),
        Op.where(Op.lessOrEqual(real(x), zero(y)), Op.neg(dy), dy),
      ),
  ]),
  Sqrt: single((y, dy) => [() => Op.div(dy, Op.add(y, y))]),
  Exp: pointwise((y) => y),
  Sigmoid: pointwise((y) => Op.mul(y, Op.sub(one(y), y))),
  Tanh: pointwise((y) => Op.sub(one(y), Op.mul(y, y))),
  Erf: pointwise((_y, x) => Op.mul(x.builder.constant(2 / Math.sqrt(Math.PI)), Op.exp(Op.neg(Op.mul(x, x))))),
  /** The derivative at 0 is taken as 0. */
  Relu: single((y, dy) => [() => Op.where(Op.lessOrEqual(y, zero(y)), zero(y), dy)]),
  Sin: pointwise((_y, x) => Op.cos(x)),
  Cos: pointwise((_y, x) => Op.neg(Op.sin(x))),
  Where: single((y, dy, [condition, a, b]) => {
    const chosen = condition as Value<"bool">
    return [
      undefined,
      () => sumTo(Op.where(chosen, dy, zero(y)), real(a)),
      () => sumTo(Op.where(chosen, zero(y), dy), real(b)),
    ]
  }),
}
