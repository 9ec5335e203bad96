/** One small graph for every operator with a rule of differentiation, and for the compositions models are made of. */
import type * as Graph from "../../src/onnx/Graph.ts"
import * as Op from "../../src/onnx/Op.ts"
import type { Shape } from "../../src/onnx/Shape.ts"
import * as Reference from "./reference.ts"

export type Real = Graph.Value<"f32">
export type Index = Graph.Value<"i32">

/** An operand: its shape, with names for sizes known at run time, and its values. */
export interface Operand {
  readonly symbols: Shape
  readonly shape: ReadonlyArray<number>
  readonly low?: number
  /** Values for an i32 operand, which has no gradient. */
  readonly indices?: ReadonlyArray<number>
}

export interface Case {
  readonly name: string
  readonly operands: ReadonlyArray<Operand>
  readonly define: (reals: ReadonlyArray<Real>, indices: ReadonlyArray<Index>) => Real
}

const sizes: Readonly<Record<string, number>> = { batch: 2, sequence: 3, past: 2, rows: 4 }

/** A real operand; values lie in `low` … `low` + 2, in an order that looks random but is fixed. */
export const real = (symbols: Shape, low = -1): Operand => ({
  symbols,
  shape: symbols.map((dim) => (typeof dim === "number" ? dim : (sizes[dim] ?? 0))),
  low,
})
const index = (symbols: Shape, indices: ReadonlyArray<number>): Operand => ({ ...real(symbols), indices })

const unary = (name: string, f: (x: Real) => Real, low = -1): Case => ({
  name,
  operands: [real(["batch", 3], low)],
  define: ([x]) => f(x!),
})

const binary = (name: string, f: (a: Real, b: Real) => Real, low = -1): ReadonlyArray<Case> =>
  (
    [
      [
        ["batch", 3],
        ["batch", 3],
      ],
      [
        ["batch", 1, 3],
        [4, 1],
      ],
      [[], ["batch", 3]],
      [["batch", "sequence"], [1]],
    ] as ReadonlyArray<readonly [Shape, Shape]>
  ).map(([a, b]) => ({
    name: `${name} of [${a.join(", ")}] and [${b.join(", ")}]`,
    operands: [real(a, low), real(b, low)],
    define: ([x, y]) => f(x!, y!),
  }))

export const rmsNorm = (x: Real, weight: Real) =>
  Op.mul(Op.div(x, Op.sqrt(Op.add(Op.mean(Op.mul(x, x), -1), x.builder.constant(1e-5)))), weight)

export const cases: ReadonlyArray<Case> = [
  ...binary("add", Op.add),
  ...binary("sub", Op.sub),
  ...binary("mul", Op.mul),
  ...binary("div", Op.div, 0.5),
  unary("neg", Op.neg),
  unary("abs", Op.abs),
  unary("sqrt", Op.sqrt, 0.5),
  unary("exp", Op.exp),
  unary("sigmoid", Op.sigmoid),
  unary("silu", Op.silu),
  unary("tanh", Op.tanh),
  unary("erf", Op.erf),
  unary("relu", Op.relu),
  unary("sin", Op.sin),
  unary("cos", Op.cos),
  unary("a value used three times", (x) => Op.mul(Op.add(x, Op.mul(x, x)), x)),
  {
    name: "where",
    operands: [real(["batch", 3]), real([]), index(["batch", 1], [0, 2])],
    define: ([a, b], [i]) => Op.where(Op.lessOrEqual(i!, i!.builder.indices(1)), a!, b!),
  },
  {
    name: "matMul of matrices",
    operands: [real(["batch", 3]), real([3, 4])],
    define: ([a, b]) => Op.matMul(a!, b!),
  },
  {
    name: "matMul with one matrix for a batch",
    operands: [real(["batch", "sequence", 3]), real([3, 4])],
    define: ([a, b]) => Op.matMul(a!, b!),
  },
  {
    name: "matMul of batches that broadcast",
    operands: [real(["batch", 1, "sequence", 3]), real([2, 3, "past"])],
    define: ([a, b]) => Op.matMul(a!, b!),
  },
  {
    name: "linear",
    operands: [real(["batch", "sequence", 3]), real([4, 3])],
    define: ([x, w]) => Op.linear(x!, w!),
  },
  unary("mean", (x) => Op.mean(x, 1)),
  { name: "sum", operands: [real(["batch", "sequence", 2])], define: ([x]) => Op.sum(x!, [0, 2]) },
  { name: "softmax", operands: [real(["batch", "sequence", 4])], define: ([x]) => Op.softmax(x!, -1) },
  { name: "softmax along the middle", operands: [real([2, 3, 2])], define: ([x]) => Op.softmax(x!, 1) },
  { name: "logSoftmax", operands: [real(["rows", 5])], define: ([x]) => Op.logSoftmax(x!, -1) },
  {
    name: "rmsNorm",
    operands: [real(["batch", "sequence", 6]), real([6])],
    define: ([x, w]) => rmsNorm(x!, w!),
  },
  {
    name: "reshape",
    operands: [real(["batch", "sequence", 6])],
    define: ([x]) => Op.reshape(x!, ["batch*sequence", 3, 2]),
  },
  {
    name: "reshape that has two sizes open on the way back",
    operands: [real(["batch", "sequence", 2, 3])],
    define: ([x]) => Op.reshape(x!, ["2*batch*sequence", 3]),
  },
  {
    name: "transpose",
    operands: [real(["batch", "sequence", 2, 3])],
    define: ([x]) => Op.transpose(x!, [2, 0, 3, 1]),
  },
  {
    name: "concat of sizes known while building",
    operands: [real(["batch", 2]), real(["batch", 3])],
    define: ([a, b]) => Op.concat([a!, b!], 1),
  },
  {
    name: "concat of sizes known at run time",
    operands: [real([2, "past", 3]), real([2, "sequence", 3])],
    define: ([a, b]) => Op.concat([a!, b!], 1),
  },
  {
    name: "halves, both read",
    operands: [real(["batch", 6])],
    define: ([x]) => {
      const [first, second] = Op.halves(x!, -1)
      return Op.mul(first, Op.exp(second))
    },
  },
  {
    name: "split, one part read",
    operands: [real(["batch", 6])],
    define: ([x]) => Op.exp(Op.split(x!, [1, 2, 3], -1)[1]!),
  },
  {
    name: "gather of repeated rows",
    operands: [real([5, 3]), index(["batch", 3], [4, 0, 4, 1, 4, 0])],
    define: ([x], [i]) => Op.gather(x!, i!, 0),
  },
  {
    name: "gather of one row",
    operands: [real([5, 3])],
    define: ([x]) => Op.gather(x!, x!.builder.indices(2), 0),
  },
  {
    name: "gather along the middle",
    operands: [real(["batch", 4, 3]), index([3], [1, 3, 1])],
    define: ([x], [i]) => Op.gather(x!, i!, 1),
  },
  {
    name: "gatherElements",
    operands: [real(["rows", 5]), index(["rows", 2], [0, 0, 4, 1, 2, 3, 3, 3])],
    define: ([x], [i]) => Op.gatherElements(x!, i!, 1),
  },
  {
    name: "expandAs",
    operands: [real(["batch", 1]), real(["batch", "sequence"])],
    define: ([a, b]) => Op.mul(Op.expandAs(a!, b!), b!),
  },
  {
    name: "rotation by position",
    operands: [real(["batch", 2, "sequence", 4]), real(["batch", 1, "sequence", 2])],
    define: ([x, angles]) => {
      const [cos, sin] = [Op.cos(angles!), Op.sin(angles!)]
      const [first, second] = Op.halves(x!, -1)
      return Op.concat(
        [Op.sub(Op.mul(first, cos), Op.mul(second, sin)), Op.add(Op.mul(second, cos), Op.mul(first, sin))],
        -1,
      )
    },
  },
  {
    name: "the log-likelihood of targets",
    operands: [real(["rows", 3]), real([5, 3]), index(["rows"], [4, 0, 0, 2])],
    define: ([x, w], [targets]) =>
      Op.gatherElements(Op.logSoftmax(Op.linear(x!, w!), -1), Op.reshape(targets!, ["rows", 1]), 1),
  },
]

/** Fixed values that look random, in `low` … `low` + 2 and never near 0 where `low` is −1. */
export const values = (operand: Operand, seed: number): ReadonlyArray<number> =>
  operand.indices ??
  Array.from({ length: Reference.volume(operand.shape) }, (_, i) => {
    const unit = (Math.sin(12.9898 * (i + 1) + 78.233 * (seed + 1)) * 43758.5453) % 1
    const value = (operand.low ?? -1) + 1 + unit
    return Math.abs(value) < 0.05 ? 0.3 : value
  })
