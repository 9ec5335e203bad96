// Runs an exported model as any program with ONNX Runtime would: node onnx-child.mjs model.onnx '{"tokens": [[…]], …}'
import * as ort from "onnxruntime-node"

const [, , path, json] = process.argv
const { headDim, kvHeads, layers, tokens } = JSON.parse(json)
const session = await ort.InferenceSession.create(path)
const int32 = (values, dims) => new ort.Tensor("int32", Int32Array.from(values), dims)

/** One step: tokens [length] after a cache of `past` positions. */
const step = async (row, cache, past) => {
  const positions = row.map((_, i) => past + i)
  const feeds = {
    tokens: int32(row, [1, row.length]),
    positions: int32(positions, [1, row.length]),
    keyPositions: int32([...Array(past).keys(), ...positions], [1, past + row.length]),
    rows: int32(row.keys(), [row.length]),
    targets: int32(row, [row.length]),
    ...cache,
  }
  const outputs = await session.run(feeds)
  const next = {}
  for (let l = 0; l < layers; l++)
    for (const part of ["key", "value"]) next[`past.${l}.${part}`] = outputs[`present.${l}.${part}`]
  return { logits: [...outputs.logits.data], next }
}

const empty = {}
for (let l = 0; l < layers; l++)
  for (const part of ["key", "value"])
    empty[`past.${l}.${part}`] = new ort.Tensor("float32", new Float32Array(0), [1, kvHeads, 0, headDim])
const [first, second] = tokens
const one = await step(first, empty, 0)
const two = await step(second, one.next, first.length)
console.log(JSON.stringify({ inputs: session.inputNames, logits: [...one.logits, ...two.logits] }))
