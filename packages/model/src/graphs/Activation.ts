/**
 * Activations, written with the operators of the graph builder.
 */
import type { Activation } from "../architectures/ModelShape.ts"
import type { Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"

const scaled = (x: Value<"f32">, factor: number) => Op.mul(x, x.builder.constant(factor))
const plusOne = (x: Value<"f32">) => Op.add(x, x.builder.constant(1))

/** x · Φ(x) = x/2 · (1 + erf(x / √2)) (Hendrycks & Gimpel, 2016). */
const gelu = (x: Value<"f32">): Value<"f32"> =>
  Op.mul(scaled(x, 0.5), plusOne(Op.erf(scaled(x, Math.SQRT1_2))))

/** x/2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))), the approximation of the same paper. */
const geluTanh = (x: Value<"f32">): Value<"f32"> => {
  const cubed = Op.mul(Op.mul(x, x), x)
  const inner = scaled(Op.add(x, scaled(cubed, 0.044715)), Math.sqrt(2 / Math.PI))
  return Op.mul(scaled(x, 0.5), plusOne(Op.tanh(inner)))
}

const functions: Readonly<Record<Activation, (x: Value<"f32">) => Value<"f32">>> = {
  silu: Op.silu,
  gelu,
  geluTanh,
  relu: Op.relu,
  tanh: Op.tanh,
}

/** The activation of x, element by element. */
export const activate = (x: Value<"f32">, activation: Activation): Value<"f32"> => functions[activation](x)
