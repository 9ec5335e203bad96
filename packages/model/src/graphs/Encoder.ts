/**
 * A whole encoder with its classification head, written from an `EncoderShape`.
 */
import type * as Result from "effect/Result"
import type { EncoderShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { unseen } from "../runtime/Batches.ts"
import { activate } from "./Activation.ts"
import * as Block from "./Block.ts"
import * as Contexts from "./Context.ts"
import * as Linear from "./Linear.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Value = Graph.Value<"f32">

const embed = (
  context: Contexts.Context<EncoderShape>,
  tokens: Graph.Value<"i32">,
  places: Graph.Value<"i32">,
): Value => {
  const { builder, shape, weights } = context
  const { firstPosition, hiddenSize, maxPositions, tensors, vocabSize } = shape
  return builder.scoped("embedding", () => {
    const words = weights.rows(tensors.embedding, [vocabSize, hiddenSize], tokens)
    const placed =
      tensors.positions === undefined
        ? words
        : Op.add(words, weights.rows(tensors.positions, [firstPosition + maxPositions, hiddenSize], places))
    const { segments } = tensors
    const whole =
      segments === undefined
        ? placed
        : Op.add(placed, weights.rows(segments.weight, [segments.kinds, hiddenSize], builder.indices(0)))
    return Linear.norm(context, whole, tensors.embeddingNorm)
  })
}

/** One state per sequence, [batch, hiddenSize]: that of its first token, or the mean of all that are no padding. */
const pool = (
  { builder, shape }: Contexts.Context<EncoderShape>,
  hidden: Value,
  keyPositions: Graph.Value<"i32">,
): Value => {
  if (shape.classifier.pooling === "first") return Op.gather(hidden, builder.indices(0), 1)
  const present = Op.where(
    Op.lessOrEqual(keyPositions, builder.indices(unseen - 1)),
    builder.constant(1),
    builder.constant(0),
  )
  const weights = Op.reshape(present, ["batch", "sequence", 1])
  const mean = Op.div(Op.mean(Op.mul(hidden, weights), 1), Op.mean(weights, 1))
  return Op.reshape(mean, ["batch", shape.hiddenSize])
}

/** An encoder in a graph: what it computes from weights that come from anywhere. */
export interface Forward {
  /** The stream before the first layer and behind each, [batch, sequence, hiddenSize]; no final norm. */
  readonly streams: ReadonlyArray<Value>
  /** After the final norm, [batch, sequence, hiddenSize]. */
  readonly hidden: Value
  /** [batch, classes] */
  readonly logits: Value
  /** i32 [batch, sequence], beyond every query where there is padding. */
  readonly keyPositions: Graph.Value<"i32">
}

/**
 * Writes an encoder with its classification head into a graph, over weights of any source.
 *
 * Adds the inputs `tokens`, `positions` i32 [batch, sequence]; `places` i32 [batch, sequence], rows of the table of
 * positions; `keyPositions` i32 [batch, sequence], padding beyond every query.
 */
export const forward = (builder: Graph.Builder, shape: EncoderShape, weights: Weights.Weights): Forward => {
  const sequences = ["batch", "sequence"]
  const tokens = builder.input("tokens", "i32", sequences)
  const positions = builder.input("positions", "i32", sequences)
  const places = builder.input("places", "i32", sequences)
  const keyPositions = builder.input("keyPositions", "i32", sequences)
  const context = Contexts.make(builder, shape, weights, { positions, keyPositions })
  let stream = embed(context, tokens, places)
  const streams = [stream]
  for (let l = 0; l < shape.layers.length; l++) {
    stream = Block.layer(context, l, stream).hidden
    streams.push(stream)
  }
  return builder.scoped("head", () => {
    const hidden = Linear.norm(context, stream, shape.tensors.finalNorm)
    const { activation, dense, labels, norm, output } = shape.classifier
    const pooled = pool(context, hidden, keyPositions)
    const inner = activate(Linear.project(context, pooled, dense, shape.hiddenSize), activation)
    const logits = Linear.project(context, Linear.norm(context, inner, norm), output, labels.length)
    return { streams, hidden, logits, keyPositions }
  })
}

/**
 * An encoder over its own weights.
 *
 * Inputs: those of `forward`, and `rows` i32 [rows], positions to read.
 * Outputs: `hidden` f32 [rows, hiddenSize], after the final norm; `logits` f32 [batch, classes].
 */
export const encoder = (shape: EncoderShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(shape.modelType, (builder) => {
    const { hidden, logits } = forward(builder, shape, Weights.stored(builder, tensors))
    const rows = builder.input("rows", "i32", ["rows"])
    const flat = Op.reshape(hidden, ["batch*sequence", shape.hiddenSize])
    return { hidden: Op.gather(flat, rows, 0), logits }
  })
