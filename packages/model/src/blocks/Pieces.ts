/**
 * A model cut into pieces: its layers, and its output head in slices of the vocabulary.
 *
 * A slice is not larger than a layer, so the largest layer says how much memory a model needs. Nothing is read here.
 */
import { atOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import * as Dtype from "../checkpoint/Dtype.ts"
import type { BlockGraph } from "../graphs/BlockGraph.ts"
import * as Graphs from "../graphs/BlockGraph.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import type { Piece } from "../runtime/BlockRunner.ts"
import type { FedWeight } from "../runtime/Protocol.ts"
import * as Budget from "./Budget.ts"

/** A layer: the graph that runs it, and its weights. */
export interface LayerPiece {
  readonly graph: BlockGraph
  readonly piece: Piece
}

/** A part of the output head: the vocabulary's entries from `start` on, `size` of them. */
export interface Slice {
  readonly piece: Piece
  readonly start: number
  readonly size: number
}

export interface Pieces {
  readonly budget: Budget.Budget
  readonly embedding: BlockGraph
  readonly layers: ReadonlyArray<LayerPiece>
  readonly head: BlockGraph
  readonly slices: ReadonlyArray<Slice>
}

/** A piece before it is known where it will lie. */
interface Cut {
  readonly name: string
  readonly bytes: number
  readonly weights: ReadonlyArray<FedWeight>
}

const f32Bytes = (weights: ReadonlyArray<FedWeight>): number =>
  weights.reduce((sum, { dims }) => sum + 4 * dims.reduce((product, dim) => product * dim, 1), 0)

/** The graph, or the model's error. */
export const built = (
  model: string,
  graph: Result.Result<BlockGraph, GraphError>,
): Effect.Effect<BlockGraph, ModelError> =>
  Effect.mapError(
    Effect.fromResult(graph),
    ({ message }) => new ModelError({ model, problem: message, blame: "input" }),
  )

/** Cuts a model and spends `memory` bytes on the pieces. */
export const make = Effect.fnUntraced(function* (
  model: string,
  checkpoint: Checkpoint,
  shape: ModelShape,
  memory: number,
): Effect.fn.Return<Pieces, ModelError> {
  const refuse = (problem: string) => new ModelError({ model, problem, blame: "input" })
  /** The weights of a graph; of the tensor `sliced.name` the rows [start, start + size). */
  const weightsOf = Effect.fnUntraced(function* (
    { inputs }: BlockGraph,
    sliced?: { readonly name: string; readonly start: number; readonly size: number },
  ) {
    const weights: Array<FedWeight> = []
    for (const [input, name] of inputs.tensors) {
      const info = checkpoint.tensors.get(name)
      if (info === undefined) return yield* refuse(`the checkpoint has no tensor "${name}"`)
      const { dtype, file, shape: dims } = info
      if (!Dtype.isFloat(dtype))
        return yield* refuse(`"${name}": expected floating-point weights, got ${dtype}`)
      const { size, start } = name === sliced?.name ? sliced : { start: 0, size: atOr(dims, 0, 1) }
      const rowBytes = info.byteLength / atOr(dims, 0, 1)
      weights.push({
        input,
        dtype,
        file,
        dims: [size, ...dims.slice(1)],
        offset: info.offset + start * rowBytes,
        byteLength: size * rowBytes,
      })
    }
    return weights
  })
  const cut = (name: string, weights: ReadonlyArray<FedWeight>): Cut => ({
    name,
    weights,
    bytes: f32Bytes(weights),
  })

  const layers: Array<{ readonly graph: BlockGraph; readonly cut: Cut }> = []
  for (let l = 0; l < shape.layers.length; l++) {
    const graph = yield* built(model, Graphs.layer(shape, l))
    layers.push({ graph, cut: cut(`layer ${l}`, yield* weightsOf(graph)) })
  }
  const head = yield* built(model, Graphs.head(shape))
  const largest = layers.reduce((max, { cut: { bytes } }) => Math.max(max, bytes), 0)
  const slices: Array<{ readonly cut: Cut; readonly start: number; readonly size: number }> = []
  const one = f32Bytes(yield* weightsOf(head, { name: shape.tensors.head, start: 0, size: 1 }))
  const rows = Math.max(1, Math.floor((largest - one) / (4 * shape.hiddenSize)) + 1)
  for (let start = 0; start < shape.vocabSize; start += rows) {
    const size = Math.min(rows, shape.vocabSize - start)
    const weights = yield* weightsOf(head, { name: shape.tensors.head, start, size })
    slices.push({ start, size, cut: cut(`head ${start}`, weights) })
  }
  const cuts = [...layers, ...slices].map((part) => part.cut)
  const budget = yield* Effect.mapError(Effect.fromResult(Budget.plan(memory, cuts)), refuse)
  const place = ({ bytes, name, weights }: Cut): Piece =>
    budget.resident.has(name)
      ? { name, weights, slab: 1 + cuts.findIndex((other) => other.name === name), capacity: bytes }
      : { name, weights, slab: 0, capacity: budget.slab }
  return {
    budget,
    embedding: yield* built(model, Graphs.embedding(shape)),
    layers: layers.map(({ cut: own, graph }) => ({ graph, piece: place(own) })),
    head,
    slices: slices.map(({ cut: own, size, start }) => ({ start, size, piece: place(own) })),
  }
})
