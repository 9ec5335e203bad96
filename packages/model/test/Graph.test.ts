import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { dump } from "../src/onnx/Dump.ts"
import { encode } from "../src/onnx/Encode.ts"
import * as Graph from "../src/onnx/Graph.ts"
import * as Op from "../src/onnx/Op.ts"
import * as Shape from "../src/onnx/Shape.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import { distance } from "./support/models.ts"

const failure = (define: Parameters<typeof Graph.build>[1]) => {
  const result = Graph.build("test", define)
  return Result.isFailure(result) ? result.failure.message : "built"
}

describe("Shape", () => {
  it("writes sums and products of dimensions in one form", () => {
    assert.strictEqual(Shape.product(["sequence", 2, "batch", 3]), "6*batch*sequence")
    assert.strictEqual(Shape.product(["2*sequence", 4]), "8*sequence")
    assert.strictEqual(Shape.product([1, "batch"]), "batch")
    assert.strictEqual(Shape.product([]), 1)
    assert.strictEqual(Shape.sum(["sequence", "past"]), "past+sequence")
    assert.strictEqual(Shape.sum([2, "past", 3]), "past+5")
    assert.strictEqual(Shape.product([2, "past+sequence"]), Shape.product(["past+sequence", 2]))
    assert.strictEqual(Shape.product([1, "past+sequence"]), "past+sequence")
  })

  it("broadcasts like numpy, symbols included", () => {
    assert.deepStrictEqual(Shape.broadcast(["batch", 1, 3], [4, 1]), ["batch", 4, 3])
    assert.strictEqual(Shape.broadcast(["batch"], ["sequence"]), undefined)
    assert.strictEqual(Shape.broadcast([2], [3]), undefined)
  })
})

describe("Graph", () => {
  it("refuses a matrix product whose inner sizes differ, naming the place and both shapes", () => {
    const message = failure((builder) => {
      const x = builder.input("x", "f32", ["batch", 8])
      const w = builder.input("w", "f32", [4, 2])
      return { y: builder.scoped("layers.3/mlp", () => Op.matMul(x, w)) }
    })
    assert.strictEqual(
      message,
      "graph at layers.3/mlp: MatMul: x [batch, 8] and w [4, 2]: expected [..., m, k] · [..., k, n]",
    )
  })

  it("refuses operands that do not broadcast, reshapes of another volume, and axes outside the rank", () => {
    const x = (builder: Graph.Builder) => builder.input("x", "f32", ["batch", 8])
    assert.include(
      failure((b) => ({ y: Op.add(x(b), b.input("z", "f32", ["batch", 4])) })),
      "x [batch, 8] and z [batch, 4] do not broadcast",
    )
    assert.include(
      failure((b) => ({ y: Op.reshape(x(b), ["batch", 2, 5]) })),
      "x [batch, 8] has 8*batch elements, [batch, 2, 5] has 10*batch",
    )
    assert.include(
      failure((b) => ({ y: Op.softmax(x(b), 2) })),
      "axis 2 is outside x [batch, 8]",
    )
    assert.include(
      failure((b) => ({ y: Op.transpose(x(b), [0, 0]) })),
      "does not permute",
    )
    assert.include(
      failure((b) => ({ y: Op.concat([x(b), b.input("z", "f32", ["other", 8])], 1) })),
      "differ outside axis 1",
    )
    assert.include(
      failure((b) => ({ y: Op.halves(b.input("z", "f32", [3]), 0)[0] })),
      "has no two halves",
    )
  })

  it("prints every value with its type and shape, the operator set first", () => {
    const graph = Result.getOrThrow(
      Graph.build("tiny", (builder) => {
        const x = builder.input("x", "f32", ["batch", 2])
        const w = builder.weight("w", "bf16", [3, 2], { file: "/m.safetensors", offset: 8, byteLength: 12 })
        return { y: builder.scoped("head", () => Op.linear(x, Op.cast(w, "f32"))) }
      }),
    )
    assert.deepStrictEqual(dump(graph).split("\n"), [
      "graph tiny (opset 21)",
      "input  x: f32 [batch, 2]",
      "weight w: bf16 [3, 2]",
      "head/Cast: f32 [3, 2] = Cast(w, to=1)",
      "head/Transpose: f32 [2, 3] = Transpose(head/Cast, perm=[1, 0])",
      "head/MatMul: f32 [batch, 3] = MatMul(x, head/Transpose)",
      "y: f32 [batch, 3] = Identity(head/MatMul)",
      "output y: f32 [batch, 3]",
    ])
    const { bytes, weights } = encode(graph)
    assert.deepStrictEqual(weights, [{ location: "weights-0.safetensors", path: "/m.safetensors" }])
    assert.isBelow(bytes.length, 1000)
  })

  it.effect("computes what its operators say", () =>
    Effect.gen(function* () {
      const graph = Result.getOrThrow(
        Graph.build("operators", (builder) => {
          const x = builder.input("x", "f32", ["rows", 4])
          const index = builder.input("index", "i32", ["rows"])
          const [first, second] = Op.halves(x, -1)
          return {
            silu: Op.silu(x),
            swapped: Op.concat([second, first], 1),
            picked: Op.gatherElements(Op.logSoftmax(x, -1), Op.reshape(index, ["rows", 1]), 1),
            mean: Op.mean(x, 1),
            product: Op.matMul(x, Op.transpose(x, [1, 0])),
            masked: Op.where(
              Op.lessOrEqual(index, builder.indices(1)),
              builder.constant(1),
              builder.constant(-1),
            ),
            most: Op.argMax(x, -1),
          }
        }),
      )
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const program = yield* pool.open("operators", encode(graph), 0)
      const x = [1, 2, 3, 4, 0, -1, -1, 0.5]
      const outputs = yield* program.lease((lease) =>
        lease.run(
          {
            x: { type: "float32", dims: [2, 4], data: Float32Array.from(x) },
            index: { type: "int32", dims: [2], data: Int32Array.of(3, 1) },
          },
          ["silu", "swapped", "picked", "mean", "product", "masked", "most"],
        ),
      )
      const close = (name: string, expected: ReadonlyArray<number>) =>
        assert.isAtMost(distance(Array.from(outputs[name]?.data ?? [], Number), expected), 1e-6, name)
      const logSumExp = (row: ReadonlyArray<number>) => Math.log(row.reduce((s, v) => s + Math.exp(v), 0))
      close(
        "silu",
        x.map((v) => v / (1 + Math.exp(-v))),
      )
      close("swapped", [3, 4, 1, 2, -1, 0.5, 0, -1])
      close("picked", [4 - logSumExp(x.slice(0, 4)), -1 - logSumExp(x.slice(4))])
      close("mean", [2.5, -0.375])
      close("product", [30, -3, -3, 2.25])
      close("masked", [-1, 1])
      close("most", [3, 3])
    }),
  )
})
