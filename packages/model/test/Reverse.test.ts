import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Result } from "effect"
import { encode } from "../src/onnx/Encode.ts"
import * as Graph from "../src/onnx/Graph.ts"
import * as Op from "../src/onnx/Op.ts"
import { gradients, rules } from "../src/onnx/Reverse.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import {
  type Case,
  cases,
  type Index,
  type Operand,
  type Real,
  real,
  rmsNorm,
  values,
} from "./support/adjointCases.ts"
import { distance } from "./support/models.ts"
import * as Reference from "./support/reference.ts"

const isReal = ({ indices }: Operand) => indices === undefined

class Pool extends Context.Service<Pool, WorkerPool.WorkerPool>()("Reverse.test/Pool") {
  static readonly layer = Layer.effect(Pool, WorkerPool.make({ workers: 1, threads: 2 }))
}

/** The case as a graph: y, and the gradient of Σ seed · y with respect to every real operand. */
const build = ({ define, name, operands }: Case) =>
  Result.getOrThrow(
    Graph.build(name, (builder) => {
      const inputs = operands.map((operand, i) =>
        builder.input(`x${i}`, isReal(operand) ? "f32" : "i32", operand.symbols),
      )
      const reals = inputs.filter((_, i) => isReal(operands[i]!)) as ReadonlyArray<Real>
      const indices = inputs.filter((_, i) => !isReal(operands[i]!)) as ReadonlyArray<Index>
      const y = builder.scoped("layers.0/part", () => define(reals, indices))
      const adjoint = builder.input("seed", "f32", y.shape)
      const dx = gradients([{ of: y, adjoint }], reals)
      return { y, ...Object.fromEntries(dx.map((d, i) => [`d${reals[i]!.name}`, d])) }
    }),
  )

/** The forward part alone, for the reference. */
const forward = (one: Case) =>
  Result.getOrThrow(
    Graph.build(one.name, (builder) => {
      const inputs = one.operands.map((operand, i) =>
        builder.input(`x${i}`, isReal(operand) ? "f32" : "i32", operand.symbols),
      )
      return {
        y: one.define(
          inputs.filter((_, i) => isReal(one.operands[i]!)) as ReadonlyArray<Real>,
          inputs.filter((_, i) => !isReal(one.operands[i]!)) as ReadonlyArray<Index>,
        ),
      }
    }),
  )

const largest = (numbers: ArrayLike<number>) =>
  Array.from(numbers).reduce((max, value) => Math.max(max, Math.abs(value)), 1e-3)

const covered = new Set<string>()

layer(Pool.layer)("Reverse", (it) => {
  describe("each operator agrees with central differences in float64", () => {
    for (const one of cases) {
      it.effect(one.name, () =>
        Effect.gen(function* () {
          const graph = build(one)
          const plain = forward(one)
          for (const { operator } of plain.nodes) covered.add(operator)
          const inputs = Object.fromEntries(
            one.operands.map((operand, i) => [
              `x${i}`,
              Reference.tensor(operand.shape, Float32Array.from(values(operand, i))),
            ]),
          )
          const { y } = Reference.evaluate(plain, inputs)
          const seed = Float32Array.from(y!.data, (_, i) => Math.cos(1 + i))
          const objective = (changed: typeof inputs) =>
            Reference.evaluate(plain, changed)["y"]!.data.reduce((sum, v, i) => sum + v * seed[i]!, 0)

          const program = yield* (yield* Pool).open(one.name, encode(graph), 0)
          const feeds = Object.fromEntries(
            one.operands.map((operand, i) => [
              `x${i}`,
              isReal(operand)
                ? {
                    type: "float32" as const,
                    dims: operand.shape,
                    data: Float32Array.from(inputs[`x${i}`]!.data),
                  }
                : {
                    type: "int32" as const,
                    dims: operand.shape,
                    data: Int32Array.from(operand.indices ?? []),
                  },
            ]),
          )
          const outputs = yield* program.lease((lease) =>
            lease.run(
              { ...feeds, seed: { type: "float32", dims: y!.shape, data: seed.slice() } },
              graph.outputs.map(({ name }) => name),
            ),
          )
          const computed = (name: string) => Array.from(outputs[name]?.data ?? [], Number)
          assert.isAtMost(distance(computed("y"), y!.data) / largest(y!.data), 1e-5, "forward")
          one.operands.forEach((operand, i) => {
            if (!isReal(operand)) return
            const x = inputs[`x${i}`]!
            const step = 1e-5
            const differences = Array.from(x.data, (value, at) => {
              const moved = (by: number) =>
                objective({ ...inputs, [`x${i}`]: { ...x, data: x.data.with(at, value + by) } })
              return (moved(step) - moved(-step)) / (2 * step)
            })
            const error = distance(computed(`dx${i}`), differences) / largest(differences)
            assert.isAtMost(error, 1e-4, `operand ${i}`)
          })
        }),
      )
    }

    it("every rule is among them", () => {
      const untested = Object.keys(rules).filter((operator) => !covered.has(operator))
      assert.deepStrictEqual(untested, [])
    })
  })

  it.effect("adds repeated rows exactly, whatever the number of threads", () =>
    Effect.gen(function* () {
      const [repeats, width] = [20_000, 64]
      const graph = Result.getOrThrow(
        Graph.build("repeated", (builder) => {
          const x = builder.input("x", "f32", [4, width])
          const y = Op.gather(x, builder.input("rows", "i32", ["rows"]), 0)
          return { dx: gradients([{ of: y, adjoint: Op.expandAs(builder.constant(1), y) }], [x])[0] }
        }),
      )
      const program = yield* (yield* Pool).open("repeated", encode(graph), 0)
      const { dx } = yield* program.lease((lease) =>
        lease.run(
          {
            x: { type: "float32", dims: [4, width], data: new Float32Array(4 * width) },
            rows: {
              type: "int32",
              dims: [repeats],
              data: Int32Array.from({ length: repeats }, (_, i) => i % 4),
            },
          },
          ["dx"],
        ),
      )
      assert.isTrue(Array.from(dx?.data ?? [], Number).every((value) => value === repeats / 4))
      assert.strictEqual(dx?.data.length, 4 * width)
    }),
  )

  it.effect("is the same in two pieces as in one, adjoints handed over at the seam", () =>
    Effect.gen(function* () {
      const first = (x: Real, w: Real) => Op.add(x, Op.silu(Op.linear(x, w)))
      const second = (x: Real, v: Real) => Op.softmax(Op.linear(rmsNorm(x, Op.sum(v, [0])), v), -1)
      const graph = Result.getOrThrow(
        Graph.build("pieces", (builder) => {
          const x = builder.input("x", "f32", ["rows", 3])
          const w = builder.input("w", "f32", [3, 3])
          const v = builder.input("v", "f32", [3, 3])
          const adjoint = builder.input("seed", "f32", ["rows", 3])
          const seam = first(x, w)
          const y = second(seam, v)
          const [dx, dw, dv] = gradients([{ of: y, adjoint }], [x, w, v])
          const [dSeam, dvPieces] = gradients([{ of: y, adjoint }], [seam, v])
          const [dxPieces, dwPieces] = gradients([{ of: seam, adjoint: dSeam }], [x, w])
          return { dx, dw, dv, dxPieces, dwPieces, dvPieces }
        }),
      )
      const program = yield* (yield* Pool).open("pieces", encode(graph), 0)
      const input = (seed: number, rows: number) => ({
        type: "float32" as const,
        dims: [rows, 3],
        data: Float32Array.from(values(real([rows, 3]), seed)),
      })
      const outputs = yield* program.lease((lease) =>
        lease.run(
          { x: input(0, 4), w: input(1, 3), v: input(2, 3), seed: input(3, 4) },
          graph.outputs.map(({ name }) => name),
        ),
      )
      const numbers = (name: string) => Array.from(outputs[name]?.data ?? [], Number)
      for (const name of ["dx", "dw", "dv"]) {
        assert.isAtMost(distance(numbers(name), numbers(`${name}Pieces`)), 1e-6, name)
        assert.isAbove(largest(numbers(name)), 1e-2, name)
      }
    }),
  )

  it("refuses a variable without influence, an operator without a rule, and a seed of another shape", () => {
    const failure = (define: (x: Real, other: Real) => Graph.Value) => {
      const result = Graph.build("test", (builder) => ({
        y: define(builder.input("x", "f32", ["rows", 2]), builder.input("other", "f32", [2])),
      }))
      return Result.isFailure(result) ? result.failure.message : "built"
    }
    const seeded = (of: Real, adjoint: Real, x: Real) => gradients([{ of, adjoint }], [x])[0]
    assert.include(
      failure((x, other) => seeded(Op.exp(x), x, other)),
      "no seed depends on other [2]",
    )
    assert.include(
      failure((x) => seeded(Op.scatterAdd(x, x.builder.indices(0), x, 0), x, x)),
      "ScatterElements: has no rule of differentiation",
    )
    assert.include(
      failure((x, other) => seeded(Op.exp(x), other, x)),
      "Exp [rows, 2] got an adjoint of shape [2]",
    )
  })
})
