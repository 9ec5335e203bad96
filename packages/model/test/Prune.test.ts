import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Graph from "../src/onnx/Graph.ts"
import * as Op from "../src/onnx/Op.ts"
import { pruned } from "../src/onnx/Prune.ts"

describe("Prune", () => {
  it("keeps what outputs depend on, in order, and every input", () => {
    const graph = Result.getOrThrow(
      Graph.build("g", (builder) => {
        const [x, y] = [builder.input("x", "f32", [2]), builder.input("y", "f32", [2])]
        const location = { file: "/w", offset: 0, byteLength: 8 }
        const w = builder.weight("w", "f32", [2], location)
        const unread = builder.weight("unread", "f32", [2], location)
        const sum = Op.add(Op.mul(x, w), builder.constant(1))
        Op.exp(Op.mul(Op.mul(sum, y), unread))
        return { sum: Op.neg(sum) }
      }),
    )
    const small = pruned(graph)
    assert.deepStrictEqual(
      small.nodes.map(({ operator }) => operator),
      ["Mul", "Add", "Neg", "Identity"],
    )
    assert.deepStrictEqual(
      small.inputs.map(({ name }) => name),
      ["x", "y"],
    )
    assert.deepStrictEqual(
      small.initializers.map(({ value }) => value.name.replace(/\d+/, "n")),
      ["w", "constant.n"],
    )
    assert.strictEqual(graph.nodes.length, 7)
  })
})
