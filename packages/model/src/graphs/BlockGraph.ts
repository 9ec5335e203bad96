/**
 * The graphs of a model that runs piece by piece: embedding, one layer, a slice of the output head, and the last two
 * backwards.
 *
 * Weights are inputs (`FedWeights`). Layers that compute alike have graphs that are equal byte by byte, because each is
 * written as the only layer of a model. A backward graph computes its piece again from what went into it, so nothing of
 * the forward pass has to be kept but the hidden states between pieces.
 */
import * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { EncodedModel } from "../onnx/Encode.ts"
import { encode } from "../onnx/Encode.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { gradients } from "../onnx/Reverse.ts"
import * as Block from "./Block.ts"
import * as Contexts from "./Context.ts"
import * as Decoder from "./Decoder.ts"
import * as FedWeights from "./FedWeights.ts"
import type { Weights } from "./Weights.ts"

/** A graph that is ready to run, and the weights it wants. */
export interface BlockGraph {
  readonly encoded: EncodedModel
  readonly inputs: FedWeights.Inputs
}

/** Weights for one graph. */
type Fed = (sliced?: string) => Weights

const build = (
  name: string,
  define: (builder: Builder, fed: Fed) => Readonly<Record<string, Value>>,
): Result.Result<BlockGraph, GraphError> => {
  const inputs: FedWeights.Inputs = { tensors: new Map(), rows: new Map() }
  const graph = Graph.build(name, (builder) =>
    define(builder, (sliced) => FedWeights.make(builder, inputs, sliced)),
  )
  return Result.map(graph, (built) => ({ encoded: encode(built), inputs }))
}

/** From `tokens` and `positions` to `hidden` [batch, sequence, hiddenSize], the residual stream before layer 0. */
export const embedding = (shape: ModelShape): Result.Result<BlockGraph, GraphError> =>
  build("embedding", (builder, fed) => {
    const tokens = builder.input("tokens", "i32", ["batch", "sequence"])
    const at = Contexts.places(builder)
    const context = Contexts.make(builder, shape, fed(), at)
    return { hidden: Decoder.embed(context, tokens, at.positions) }
  })

/** Layer `l` as the only one of a model. */
const alone = (shape: ModelShape, l: number): ModelShape => ({
  ...shape,
  layers: shape.layers.slice(l, l + 1),
  attention: shape.attention.slice(l, l + 1),
})

/** The gates of one layer's outputs: `gates.heads` [1, heads] and `gates.mlp` [1]. */
const outputGates = (builder: Builder, { heads }: ModelShape): Contexts.OutputGates => ({
  heads: builder.input("gates.heads", "f32", [1, heads]),
  mlp: builder.input("gates.mlp", "f32", [1]),
})

/** `hidden`, what goes into a layer, and what comes out of it. */
const layerOf = (builder: Builder, shape: ModelShape, l: number, fed: Fed, gates?: Contexts.OutputGates) => {
  const hidden = builder.input("hidden", "f32", ["batch", "sequence", shape.hiddenSize])
  const context = Contexts.make(builder, alone(shape, l), fed(), Contexts.places(builder), gates)
  return { hidden, output: Block.layer(context, 0, hidden).hidden }
}

/** From the residual stream before layer `l`, `hidden`, to `output`, the one behind it; with gates of its units. */
export const layer = (shape: ModelShape, l: number): Result.Result<BlockGraph, GraphError> =>
  build("layer", (builder, fed) => ({
    output: layerOf(builder, shape, l, fed, outputGates(builder, shape)).output,
  }))

/**
 * From what goes into `layer` and the derivative of an objective with respect to what comes out of it, `adjoint` [batch,
 * sequence, hiddenSize], to those with respect to the stream and the gates, `d.hidden` [batch, sequence, hiddenSize],
 * `d.heads` [1, heads] and `d.mlp` [1]; those of the gates are summed over the batch.
 */
export const layerGradient = (shape: ModelShape, l: number): Result.Result<BlockGraph, GraphError> =>
  build("layerGradient", (builder, fed) => {
    const gates = outputGates(builder, shape)
    const { hidden, output } = layerOf(builder, shape, l, fed, gates)
    const adjoint = builder.input("adjoint", "f32", output.shape)
    const [dHidden, dHeads, dMlp] = gradients([{ of: output, adjoint }], [hidden, gates.heads, gates.mlp])
    return { "d.hidden": dHidden, "d.heads": dHeads, "d.mlp": dMlp }
  })

/** The logits of a slice of the vocabulary for `hidden` [rows, hiddenSize], the residual stream behind all layers. */
const logitsOf = (builder: Builder, shape: ModelShape, fed: Fed) => {
  const weights = fed(shape.tensors.head)
  const hidden = builder.input("hidden", "f32", ["rows", shape.hiddenSize])
  // Norm and head do not depend on positions.
  const nowhere = builder.indices([0])
  const context = Contexts.make(builder, shape, weights, { positions: nowhere, keyPositions: nowhere })
  const weight = weights.tensor(shape.tensors.head, [shape.vocabSize, shape.hiddenSize], {
    _tag: "Residual",
  })
  const logits = Decoder.adjust(shape, Op.linear(Decoder.finalNorm(context, hidden), weight))
  const targets = builder.input("targets", "i32", ["rows"])
  return { hidden, logits, targets: Op.reshape(targets, ["rows", 1]) }
}

/**
 * From the residual stream behind all layers, `hidden` [rows, hiddenSize], and `targets` [rows] counted from the
 * slice's first entry, to two logits per row: `target`, and `logSumExp` over the slice.
 */
export const head = (shape: ModelShape): Result.Result<BlockGraph, GraphError> =>
  build("head", (builder, fed) => {
    const { logits, targets } = logitsOf(builder, shape, fed)
    const target = Op.gatherElements(logits, targets, 1)
    const share = Op.gatherElements(Op.logSoftmax(logits, -1), targets, 1)
    return { target: Op.reshape(target, ["rows"]), logSumExp: Op.reshape(Op.sub(target, share), ["rows"]) }
  })

/**
 * `d.hidden` [rows, hiddenSize], what a slice adds to the derivative of −log p(target) with respect to `hidden`:
 * `logSumExp` [rows] is that of the whole vocabulary, `found` [rows] is 1 where the target lies in the slice, else 0.
 */
export const headGradient = (shape: ModelShape): Result.Result<BlockGraph, GraphError> =>
  build("headGradient", (builder, fed) => {
    const { hidden, logits, targets } = logitsOf(builder, shape, fed)
    const logSumExp = Op.reshape(builder.input("logSumExp", "f32", ["rows"]), ["rows", 1])
    const found = Op.reshape(builder.input("found", "f32", ["rows"]), ["rows", 1])
    const ofLogSumExp = { of: logits, adjoint: Op.exp(Op.sub(logits, logSumExp)) }
    const ofTarget = { of: Op.gatherElements(logits, targets, 1), adjoint: Op.neg(found) }
    const [dHidden] = gradients([ofLogSumExp, ofTarget], [hidden])
    return { "d.hidden": dHidden }
  })
