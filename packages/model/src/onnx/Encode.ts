/**
 * Writes a graph as an ONNX model.
 *
 * Initializers that lie in files become ONNX external data (location, offset, length), so the model itself stays a
 * few kilobytes and the weights are read, or mapped, from where they are. Locations are names relative to the
 * directory of the model; `encode` hands back which file each name stands for.
 * Shapes of all values are written, since ONNX Runtime finds less than the builder knows where sizes are symbolic, and
 * its plan of buffers is quadratic in those whose size it does not know: of 7,000 nodes, 10 seconds.
 * Field numbers are those of onnx.proto3 (ONNX IR version 10).
 */
import { onnxCode } from "./ElementType.ts"
import type { Attribute, Graph, Initializer, Node, Value } from "./Graph.ts"
import * as Protobuf from "./Protobuf.ts"
import type { Shape } from "./Shape.ts"

/** The version of the standard operator set that every graph of this package is written in. */
export const opset = 21
const irVersion = 10

/** An ONNX model and the files its external data refer to: `weights` maps location names to absolute paths. */
export interface EncodedModel {
  readonly bytes: Uint8Array
  readonly weights: ReadonlyArray<{ readonly location: string; readonly path: string }>
}

const shapeProto = (shape: Shape): Protobuf.Message =>
  shape.flatMap((dim) =>
    Protobuf.message(1, typeof dim === "number" ? Protobuf.int(1, dim) : Protobuf.string(2, dim)),
  )

const valueInfo = (value: Value): Protobuf.Message => [
  ...Protobuf.string(1, value.name),
  ...Protobuf.message(
    2,
    Protobuf.message(1, [
      ...Protobuf.int(1, onnxCode[value.type]),
      ...Protobuf.message(2, shapeProto(value.shape)),
    ]),
  ),
]

const attributeProto = (name: string, attribute: Attribute): Protobuf.Message => {
  const head = Protobuf.string(1, name)
  switch (attribute._tag) {
    case "Float":
      return [...head, ...Protobuf.float(2, attribute.value), ...Protobuf.int(20, 1)]
    case "Int":
      return [...head, ...Protobuf.int(3, attribute.value), ...Protobuf.int(20, 2)]
    case "String":
      return [...head, ...Protobuf.string(4, attribute.value), ...Protobuf.int(20, 3)]
    case "Ints":
      return [...head, ...attribute.value.flatMap((v) => Protobuf.int(8, v)), ...Protobuf.int(20, 7)]
  }
}

const nodeProto = (node: Node): Protobuf.Message => [
  ...node.inputs.flatMap((value) => Protobuf.string(1, value.name)),
  ...node.outputs.flatMap((value) => Protobuf.string(2, value.name)),
  ...Protobuf.string(3, node.outputs[0]?.name ?? node.operator),
  ...Protobuf.string(4, node.operator),
  ...Object.entries(node.attributes).flatMap(([name, a]) => Protobuf.message(5, attributeProto(name, a))),
]

const entry = (key: string, value: string): Protobuf.Message =>
  Protobuf.message(13, [...Protobuf.string(1, key), ...Protobuf.string(2, value)])

const tensorProto = ({ content, value }: Initializer, locations: Map<string, string>): Protobuf.Message => {
  const head = [
    ...value.shape.flatMap((dim) => Protobuf.int(1, Number(dim))),
    ...Protobuf.int(2, onnxCode[value.type]),
    ...Protobuf.string(8, value.name),
  ]
  if (content instanceof Uint8Array) return [...head, ...Protobuf.bytes(9, content)]
  const location = locations.get(content.file) ?? `weights-${locations.size}.safetensors`
  locations.set(content.file, location)
  return [
    ...head,
    ...entry("location", location),
    ...entry("offset", String(content.offset)),
    ...entry("length", String(content.byteLength)),
    ...Protobuf.int(14, 1),
  ]
}

/** The ONNX model of a graph. Weights are named, not copied. */
export const encode = (graph: Graph): EncodedModel => {
  const locations = new Map<string, string>()
  const outputs = new Set(graph.outputs)
  const between = graph.nodes.flatMap((node) => node.outputs.filter((value) => !outputs.has(value)))
  const body = [
    ...graph.nodes.flatMap((node) => Protobuf.message(1, nodeProto(node))),
    ...Protobuf.string(2, graph.name),
    ...graph.initializers.flatMap((tensor) => Protobuf.message(5, tensorProto(tensor, locations))),
    ...graph.inputs.flatMap((value) => Protobuf.message(11, valueInfo(value))),
    ...graph.outputs.flatMap((value) => Protobuf.message(12, valueInfo(value))),
    ...between.flatMap((value) => Protobuf.message(13, valueInfo(value))),
  ]
  const bytes = Protobuf.concat([
    ...Protobuf.int(1, irVersion),
    ...Protobuf.string(2, "hila"),
    ...Protobuf.message(7, body),
    ...Protobuf.message(8, [...Protobuf.string(1, ""), ...Protobuf.int(2, opset)]),
  ])
  return { bytes, weights: [...locations].map(([path, location]) => ({ location, path })) }
}
