/** The first layer of a Llama in plain float64 loops: what each of its linear layers reads, token by token. */
import * as Effect from "effect/Effect"
import { Checkpoint, type ModelShape } from "../../src/index.ts"

type Vector = ReadonlyArray<number>

const dot = (a: Vector, b: Vector): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0)

export interface Inputs {
  /** What goes into the norms in front of attention and MLP, and into query/key/value, output, gate/up, down. */
  readonly stream: Vector
  readonly attention: Vector
  readonly output: Vector
  readonly sum: Vector
  readonly mlp: Vector
  readonly down: Vector
}

/** The inputs of layer 0 at every token. */
export const firstLayer = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
  shape: ModelShape,
  tokens: ReadonlyArray<number>,
) {
  const { headDim, heads, hiddenSize, kvHeads, normEps } = shape
  const layer = shape.layers[0]!
  const tensor = (name: string) =>
    Effect.map(Checkpoint.readFloat32(checkpoint, name), (data) => {
      const [rows = 0, width = 1] = checkpoint.tensors.get(name)!.shape
      return Array.from({ length: rows }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width)))
    })
  const norm = (x: Vector, weight: Vector) => {
    const scale = 1 / Math.sqrt(dot(x, x) / x.length + normEps)
    return x.map((value, i) => value * scale * weight[i]!)
  }
  /** Rotation of the halves of a head by its position. */
  const rotate = (x: Vector, position: number) =>
    x.map((value, i) => {
      const half = headDim / 2
      const angle = position * 10000 ** ((-2 * (i % half)) / headDim)
      return value * Math.cos(angle) + (i < half ? -x[i + half]! : x[i - half]!) * Math.sin(angle)
    })
  const table = yield* tensor(shape.tensors.embedding)
  const [first, second] = [
    (yield* tensor(layer.norms.attentionInput!.weight)).flat(),
    (yield* tensor(layer.norms.mlpInput!.weight)).flat(),
  ]
  const of = (role: "query" | "key" | "value" | "output" | "gate" | "up") => tensor(layer[role]!.weight)
  const [wq, wk, wv, wo] = [yield* of("query"), yield* of("key"), yield* of("value"), yield* of("output")]
  const [gate, up] = [yield* of("gate"), yield* of("up")]
  const stream = tokens.map((token) => table[token]!)
  const attention = stream.map((x) => norm(x, first))
  const head = (x: Vector, h: number) => x.slice(h * headDim, (h + 1) * headDim)
  const times = (w: ReadonlyArray<Vector>, x: Vector) => w.map((row) => dot(row, x))
  const [q, k, v] = [wq, wk, wv].map((w) => attention.map((x) => times(w, x)))
  return tokens.map((_, t): Inputs => {
    const output = Array.from({ length: heads }, (__, h) => {
      const group = Math.floor((h * kvHeads) / heads)
      const query = rotate(head(q![t]!, h), t)
      const scores = k!
        .slice(0, t + 1)
        .map((key, s) => Math.exp(dot(query, rotate(head(key, group), s)) / Math.sqrt(headDim)))
      const total = scores.reduce((sum, score) => sum + score, 0)
      return Array.from({ length: headDim }, (___, i) =>
        scores.reduce((sum, score, s) => sum + (score / total) * head(v![s]!, group)[i]!, 0),
      )
    }).flat()
    const added = times(wo, output)
    const sum = Array.from({ length: hiddenSize }, (__, i) => stream[t]![i]! + added[i]!)
    const mlp = norm(sum, second)
    const gates = times(gate, mlp)
    const down = times(up, mlp).map((value, i) => (value * gates[i]!) / (1 + Math.exp(-gates[i]!)))
    return { stream: stream[t]!, attention: attention[t]!, output, sum, mlp, down }
  })
})
