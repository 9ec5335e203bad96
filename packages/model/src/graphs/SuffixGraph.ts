/**
 * A model from one layer on, whose units in some layers change sequence by sequence, and the residual streams it starts
 * from.
 *
 * What layers before the changed one compute does not depend on the change, so it is computed once. A unit either moves
 * along the difference of two models, or its output is taken away. In a layer that can move, the change of a weight is a
 * product of its own beside the weight's, y = W·x + step ∘ (Δ·x) with a step per sequence and unit, so that sequences of
 * one batch can have moved different units; sequences that move none are left out of that product.
 */
import { at } from "@hila/core/Lookup"
import type * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import * as Block from "./Block.ts"
import * as Contexts from "./Context.ts"
import * as Decoder from "./Decoder.ts"
import type { Use } from "./Use.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Real = Value<"f32">

/** Layers whose units change: [start, end). */
export interface Span {
  readonly start: number
  readonly end: number
}

/** A model, and the change that its units move along: expert − base. */
export interface Moving {
  readonly from: Tensors
  readonly base: Tensors
  readonly expert: Tensors
}

/** What takes the place of outputs that are taken away. */
export type Replacement = "zero" | "mean"

/**
 * From `tokens`, `positions` and `keyPositions` i32 [batch, sequence] to `stream.<l>` f32 [batch, sequence, hiddenSize],
 * the residual stream before each layer l that is asked for.
 */
export const streams = (
  shape: ModelShape,
  tensors: Tensors,
  wanted: ReadonlyArray<number>,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-streams`, (builder) => {
    const tokens = builder.input("tokens", "i32", ["batch", "sequence"])
    const at = Contexts.places(builder)
    const context = Contexts.make(builder, shape, Weights.stored(builder, tensors), at)
    const outputs: Record<string, Value> = {}
    let stream = Decoder.embed(context, tokens, at.positions)
    for (let l = 0; l <= Math.max(...wanted); l++) {
      if (l > 0) stream = Block.layer(context, l - 1, stream).hidden
      if (wanted.includes(l)) outputs[`stream.${l}`] = stream
    }
    return outputs
  })

type OnUse = (use: Use) => Real

/** From `hidden`, the stream before the span, to `logLikelihood` [rows]; `onUse` is of a layer in the span. */
const suffix = (
  builder: Builder,
  shape: ModelShape,
  { end, start }: Span,
  weights: Weights.Weights,
  onUse: (layer: number) => OnUse,
) => {
  const context = Contexts.make(builder, shape, weights, Contexts.places(builder))
  let stream: Real = builder.input("hidden", "f32", ["batch", "sequence", shape.hiddenSize])
  for (let layer = start; layer < shape.layers.length; layer++) {
    const own = layer < end ? { ...context, onUse: onUse(layer) } : context
    stream = Block.layer(own, layer, stream).hidden
  }
  return { logLikelihood: Decoder.answers(context, stream).logLikelihood }
}

/**
 * From `hidden` f32 [batch, sequence, hiddenSize], the stream before a span of layers, to `logLikelihood` [rows]. Beside
 * the inputs of a decoder, of each layer l of the span, `queryHeads.steps.<l>` [moved, heads] and `kvHeads.steps.<l>`
 * [moved, kvHeads] say how far each head moves along the change in the sequences of `heads.moved.<l>` i32 [moved], one or
 * more, and `mlp.steps.<l>` [moved] how far the MLP does in those of `mlp.moved.<l>`; `heads.places.<l>` and
 * `mlp.places.<l>` i32 [batch] name the place of every sequence among them, or that of a step 0.
 */
export const moving = (
  shape: ModelShape,
  span: Span,
  { base, expert, from }: Moving,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-moves-from-${span.start}`, (builder) => {
    const known = new Map<Tensors, Weights.Weights>()
    const weightsOf = (tensors: Tensors) => {
      const weights = known.get(tensors) ?? Weights.stored(builder, tensors, `${known.size}/`)
      known.set(tensors, weights)
      return weights
    }
    const weights = weightsOf(from)
    const change = Weights.difference(weightsOf(base), weightsOf(expert))
    return suffix(builder, shape, span, weights, (layer) => moves(builder, shape, layer, change))
  })

/** The sequences of a batch in which something of a layer moves. */
const selection = (builder: Builder, what: "heads" | "mlp", layer: number) => {
  const count = `${what}.count.${layer}`
  const sequences = builder.input(`${what}.moved.${layer}`, "i32", [count])
  const order = builder.input(`${what}.places.${layer}`, "i32", ["batch"])
  return {
    count,
    take: (x: Real) => Op.gather(x, sequences, 0),
    put: (x: Real) => Op.gather(x, order, 0),
  }
}

/** What becomes of each use of a moved layer's weights. */
const moves = (
  builder: Builder,
  { heads, kvHeads }: ModelShape,
  layer: number,
  change: Weights.Weights,
): OnUse => {
  const [ofHeads, ofMlp] = [selection(builder, "heads", layer), selection(builder, "mlp", layer)]
  const steps = {
    QueryHeads: builder.input(`queryHeads.steps.${layer}`, "f32", [ofHeads.count, heads]),
    KvHeads: builder.input(`kvHeads.steps.${layer}`, "f32", [ofHeads.count, kvHeads]),
    Mlp: builder.input(`mlp.steps.${layer}`, "f32", [ofMlp.count]),
  }
  return ({ alongInputs, by, input, output, owner }) => {
    switch (owner._tag) {
      case "Residual":
        return output
      case "Mlp": {
        const step = Op.reshape(steps.Mlp, [ofMlp.count, 1, 1])
        const added = input === undefined ? by(change) : by(change, ofMlp.take(input))
        return Op.add(output, ofMlp.put(Op.mul(step, added)))
      }
      case "QueryHeads":
      case "KvHeads": {
        const own = steps[owner._tag]
        if (input === undefined) return Op.add(output, ofHeads.put(Op.mul(spread(own, output), by(change))))
        const taken = ofHeads.take(input)
        const added =
          alongInputs === true
            ? by(change, Op.mul(taken, spread(own, input)))
            : Op.mul(spread(own, output), by(change, taken))
        return Op.add(output, ofHeads.put(added))
      }
    }
  }
}

/** A number per sequence and head [sequences, heads] for each entry of the last axis of `x`: [sequences, 1, size]. */
const spread = (perHead: Real, x: Real): Real => {
  const [sequences, count, size] = [Op.dim(perHead, 0), Number(Op.dim(perHead, 1)), Number(Op.dim(x, -1))]
  const headOf = Array.from({ length: size }, (_, i) => Math.floor((i * count) / size))
  return Op.reshape(Op.gather(perHead, x.builder.indices(headOf), 1), [sequences, 1, size])
}

/**
 * As `moving`, for outputs that are taken away: of each layer l of the span, `heads.gates.<l>` [batch, heads] and
 * `mlp.gates.<l>` [batch] are 1 for a unit as it is and 0 for one without its output, which is zero from there on, the
 * bias of an MLP included, or the mean of what goes into its last product: `heads.means.<l>` [heads · headDim] and
 * `mlp.means.<l>` [intermediateSize].
 */
export const ablating = (
  shape: ModelShape,
  span: Span,
  tensors: Tensors,
  replacement: Replacement,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-ablations-from-${span.start}`, (builder) => {
    const weights = Weights.stored(builder, tensors)
    return suffix(builder, shape, span, weights, (layer) =>
      ablations(builder, shape, layer, weights, replacement),
    )
  })

/** What becomes of each use of the weights of a layer whose outputs can be taken away. */
const ablations = (
  builder: Builder,
  shape: ModelShape,
  layer: number,
  weights: Weights.Weights,
  replacement: Replacement,
): OnUse => {
  const { headDim, heads, intermediateSize } = shape
  const tensors = at(shape.layers, layer)
  const ofHeads = builder.input(`heads.gates.${layer}`, "f32", ["batch", heads])
  const ofMlp = Op.reshape(builder.input(`mlp.gates.${layer}`, "f32", ["batch"]), ["batch", 1, 1])
  const means =
    replacement === "zero"
      ? undefined
      : {
          heads: builder.input(`heads.means.${layer}`, "f32", [heads * headDim]),
          mlp: builder.input(`mlp.means.${layer}`, "f32", [intermediateSize]),
        }
  const one = builder.constant(1)
  const gated = (x: Real, gate: Real, mean: Real | undefined): Real => {
    const kept = Op.mul(x, gate)
    return mean === undefined ? kept : Op.add(kept, Op.mul(mean, Op.sub(one, gate)))
  }
  return ({ by, input, output, tensor }) => {
    if (input !== undefined && tensor === tensors.output.weight)
      return by(weights, gated(input, spread(ofHeads, input), means?.heads))
    if (input !== undefined && tensor === tensors.down.weight)
      return by(weights, gated(input, ofMlp, means?.mlp))
    return means === undefined && tensor === tensors.down.bias
      ? Op.add(output, Op.mul(Op.sub(ofMlp, one), by(weights)))
      : output
  }
}
