/**
 * The graph of an encoder as an expert: its pooled state at any layer and its class logits, in one pass.
 *
 * Weights are read from the checkpoint's own file, as f32 or as the 8-bit integers of a quantised checkpoint.
 */
import type { EncoderShape } from "@hila/model"
import { forward } from "@hila/model/graphs/Encoder"
import * as Weights from "@hila/model/graphs/Weights"
import * as Graph from "@hila/model/onnx/Graph"
import * as Op from "@hila/model/onnx/Op"
import * as Quantised from "@hila/model/onnx/Quantised"
import { unseen } from "@hila/model/runtime/Batches"

type Value = Graph.Value<"f32">

/** Weights of a checkpoint in which some are stored as 8-bit integers, each with its scales beside it. */
const mixed = (builder: Graph.Builder, tensors: Weights.Tensors): Weights.Weights => {
  const whole = Weights.stored(builder, tensors)
  const integers = (name: string) => {
    const [info, scale] = [tensors.get(name), tensors.get(`${name}.scale`)]
    return info?.dtype === "I8" && scale !== undefined
      ? {
          weight: builder.weight(name, "i8", info.shape, info),
          scale: builder.weight(`${name}.scale`, "f32", scale.shape, scale),
        }
      : undefined
  }
  return {
    tensor: whole.tensor,
    rows: (name, shape, indices) => {
      const quantised = integers(name)
      if (quantised === undefined) return whole.rows(name, shape, indices)
      const rows = Op.cast(Op.gather(quantised.weight, indices, 0), "f32")
      const scales = Op.gather(quantised.scale, indices, 0)
      return Op.mul(rows, Op.reshape(scales, [...indices.shape, 1]))
    },
    linear: (x, name) => {
      const quantised = integers(name)
      return quantised === undefined ? undefined : Quantised.matMul(x, quantised.weight, quantised.scale)
    },
  }
}

/** The state of the first token, of the last one that is no padding, or the mean of all that are none. */
const pooled = (
  builder: Graph.Builder,
  pooling: "first" | "mean" | "last",
  stream: Value,
  keyPositions: Graph.Value<"i32">,
  lengths: Graph.Value<"i32">,
  width: number,
): Value => {
  if (pooling === "first") return Op.gather(stream, builder.indices(0), 1)
  const one = builder.constant(1)
  const zero = builder.constant(0)
  const present = Op.where(Op.lessOrEqual(keyPositions, builder.indices(unseen - 1)), one, zero)
  // Positions beyond the one before the last: the last alone.
  const chosen =
    pooling === "mean"
      ? present
      : Op.mul(
          present,
          Op.where(Op.lessOrEqual(keyPositions, Op.sub(lengths, builder.indices(2))), zero, one),
        )
  const weights = Op.reshape(chosen, ["batch", "sequence", 1])
  const mean = Op.div(Op.mean(Op.mul(stream, weights), 1), Op.mean(weights, 1))
  return Op.reshape(mean, ["batch", width])
}

/**
 * Inputs: those of an encoder, and `lengths` i32 [batch, 1]. Outputs: `features` f32 [batch, hiddenSize], `logits` f32
 * [batch, classes].
 */
export const encoder = (
  shape: EncoderShape,
  tensors: Weights.Tensors,
  {
    layer = shape.layers.length,
    pooling,
  }: { readonly layer?: number; readonly pooling: "first" | "mean" | "last" },
) =>
  Graph.build("expert", (builder) => {
    const { hidden, keyPositions, logits, streams } = forward(builder, shape, mixed(builder, tensors))
    const lengths = builder.input("lengths", "i32", ["batch", 1])
    const stream = layer >= shape.layers.length ? hidden : (streams[layer] ?? hidden)
    return {
      features: pooled(builder, pooling, stream, keyPositions, lengths, shape.hiddenSize),
      logits,
    }
  })
