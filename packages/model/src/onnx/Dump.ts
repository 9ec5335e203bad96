/**
 * Prints a graph for people: one line per value, in the order of computation.
 *
 *     input  tokens: i32 [batch, sequence]
 *     weight model.norm.weight: bf16 [128]
 *     layers.0/MatMul: f32 [batch, sequence, 128] = MatMul(layers.0/Mul, layers.0/Transpose)
 */
import { opset } from "./Encode.ts"
import type { Attribute, Graph, Value } from "./Graph.ts"
import * as Shape from "./Shape.ts"

const typed = (value: Value): string => `${value.name}: ${value.type} ${Shape.show(value.shape)}`

const attribute = ([name, a]: readonly [string, Attribute]): string =>
  `${name}=${a._tag === "Ints" ? `[${a.value.join(", ")}]` : a.value}`

/** The text of a graph, with its operator set on the first line. */
export const dump = (graph: Graph): string => {
  const lines = [`graph ${graph.name} (opset ${opset})`]
  for (const value of graph.inputs) lines.push(`input  ${typed(value)}`)
  for (const { content, value } of graph.initializers) {
    lines.push(`${content instanceof Uint8Array ? "const " : "weight"} ${typed(value)}`)
  }
  for (const node of graph.nodes) {
    const operands = [
      ...node.inputs.map((value) => value.name),
      ...Object.entries(node.attributes).map(attribute),
    ]
    lines.push(`${node.outputs.map(typed).join(", ")} = ${node.operator}(${operands.join(", ")})`)
  }
  for (const value of graph.outputs) lines.push(`output ${typed(value)}`)
  return lines.join("\n")
}
