/**
 * A model from one layer on, whose units in that layer move sequence by sequence, and the residual streams it starts
 * from.
 *
 * What layers before the moved one compute does not depend on the move, so it is computed once. In the moved layer, the
 * change of a weight is a product of its own beside the weight's, y = W·x + step ∘ (Δ·x) with a step per sequence and
 * unit, so that sequences of one batch can have moved different units, and only this layer's weights are there twice.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import * as Block from "./Block.ts"
import * as Decoder from "./Decoder.ts"
import type { Use } from "./Use.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** A model, and the change that its units move along: expert − base. */
export interface Moving {
  readonly from: Tensors
  readonly base: Tensors
  readonly expert: Tensors
}

const places = (builder: Builder): Block.Places => ({
  positions: builder.input("positions", "i32", ["batch", "sequence"]),
  keyPositions: builder.input("keyPositions", "i32", ["batch", "sequence"]),
})

/**
 * From `tokens`, `positions` and `keyPositions` i32 [batch, sequence] to `stream.<l>` f32 [batch, sequence, hiddenSize],
 * the residual stream before each layer l.
 */
export const streams = (shape: ModelShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-streams`, (builder) => {
    const tokens = builder.input("tokens", "i32", ["batch", "sequence"])
    const at = places(builder)
    const context = Block.context(builder, shape, Weights.stored(builder, tensors), at)
    const outputs: Record<string, Value> = {}
    let stream = Decoder.embed(context, tokens, at.positions)
    for (let l = 0; l < shape.layers; l++) {
      if (l > 0) stream = Block.layer(context, l - 1, stream).hidden
      outputs[`stream.${l}`] = stream
    }
    return outputs
  })

/**
 * From `hidden` f32 [batch, sequence, hiddenSize], the stream before layer `l`, to `logLikelihood` [rows]. Beside the
 * inputs of a decoder, `steps.queryHeads` [batch, heads] and `steps.kvHeads` [batch, kvHeads] say how far each head of
 * layer `l` moves along the change, and `steps.mlp` [moved] how far the MLP does: `moved.sequences` i32 [moved] names
 * the sequences whose MLP moves, one or more, and `moved.places` i32 [batch] the place of every sequence among them, or
 * that of a step 0.
 */
export const suffix = (
  shape: ModelShape,
  l: number,
  { base, expert, from }: Moving,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-from-${l}`, (builder) => {
    const known = new Map<Tensors, Weights.Weights>()
    const weightsOf = (tensors: Tensors) => {
      const weights = known.get(tensors) ?? Weights.stored(builder, tensors, `${known.size}/`)
      known.set(tensors, weights)
      return weights
    }
    const context = Block.context(builder, shape, weightsOf(from), places(builder))
    const change = Weights.difference(weightsOf(base), weightsOf(expert))
    let stream: Value<"f32"> = builder.input("hidden", "f32", ["batch", "sequence", shape.hiddenSize])
    for (let layer = l; layer < shape.layers; layer++) {
      const own = layer === l ? { ...context, onUse: moves(builder, shape, change) } : context
      stream = Block.layer(own, layer, stream).hidden
    }
    return { logLikelihood: Decoder.answers(context, stream).logLikelihood }
  })

/** What becomes of each use of the moved layer's weights. */
const moves = (builder: Builder, { heads, kvHeads }: ModelShape, change: Weights.Weights) => {
  const steps = {
    QueryHeads: builder.input("steps.queryHeads", "f32", ["batch", heads]),
    KvHeads: builder.input("steps.kvHeads", "f32", ["batch", kvHeads]),
  }
  const ofMoved = builder.input("steps.mlp", "f32", ["moved"])
  const sequences = builder.input("moved.sequences", "i32", ["moved"])
  const order = builder.input("moved.places", "i32", ["batch"])
  /** The step of each output or input of a projection, [batch, 1, size]. */
  const spread = (kind: keyof typeof steps, size: number) => {
    const count = Number(Op.dim(steps[kind], 1))
    const headOf = Array.from({ length: size }, (_, i) => Math.floor((i * count) / size))
    return Op.reshape(Op.gather(steps[kind], builder.indices(headOf), 1), ["batch", 1, size])
  }
  return ({ alongInputs, by, input, output, owner }: Use): Value<"f32"> => {
    switch (owner._tag) {
      case "Residual":
        return output
      case "Mlp": {
        // One sequence in many moves its MLP, whose weights are most of the layer's: the others pay nothing for it.
        const step = Op.reshape(ofMoved, ["moved", 1, 1])
        const added = input === undefined ? by(change) : by(change, Op.gather(input, sequences, 0))
        return Op.add(output, Op.gather(Op.mul(step, added), order, 0))
      }
      case "QueryHeads":
      case "KvHeads":
        return alongInputs === true && input !== undefined
          ? Op.add(output, by(change, Op.mul(input, spread(owner._tag, Number(Op.dim(input, -1))))))
          : Op.add(output, Op.mul(spread(owner._tag, Number(Op.dim(output, -1))), by(change)))
    }
  }
}
