/**
 * The models between a base and an expert as one graph, W = base + gate · (expert − base), with and without the
 * derivative of the loss with respect to every gate.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Gates, Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** The forward pass between two models, and the gates it depends on. */
const between = (builder: Graph.Builder, shape: ModelShape, base: Tensors, expert: Tensors) => {
  const gates: Gates = {
    queryHeads: builder.input("gates.queryHeads", "f32", [shape.layers, shape.heads]),
    kvHeads: builder.input("gates.kvHeads", "f32", [shape.layers, shape.kvHeads]),
    mlp: builder.input("gates.mlp", "f32", [shape.layers]),
    residual: builder.input("gates.residual", "f32", []),
  }
  const weights = Weights.interpolated(
    builder,
    Weights.stored(builder, base, "base/"),
    Weights.stored(builder, expert, "expert/"),
    gates,
  )
  return { gates, outputs: decoder(builder, shape, weights, { cache: false }) }
}

/**
 * The decoder without a cache. Adds the inputs `gates.queryHeads` [layers, heads], `gates.kvHeads` [layers, kvHeads],
 * `gates.mlp` [layers] and the scalar `gates.residual`.
 */
export const delta = (
  shape: ModelShape,
  base: Tensors,
  expert: Tensors,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-delta`, (builder) => between(builder, shape, base, expert).outputs)

/**
 * The same inputs and `coefficients` (see `lossGradients`); returns `logLikelihood` [rows] and the derivatives
 * `gradient.queryHeads`, `gradient.kvHeads`, `gradient.mlp` and `gradient.residual` in the shapes of the gates.
 */
export const deltaGradient = (
  shape: ModelShape,
  base: Tensors,
  expert: Tensors,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-delta-gradient`, (builder) => {
    const { gates, outputs } = between(builder, shape, base, expert)
    const [queryHeads, kvHeads, mlp, residual] = lossGradients(builder, outputs.logLikelihood, [
      gates.queryHeads,
      gates.kvHeads,
      gates.mlp,
      gates.residual,
    ])
    return {
      logLikelihood: outputs.logLikelihood,
      "gradient.queryHeads": queryHeads,
      "gradient.kvHeads": kvHeads,
      "gradient.mlp": mlp,
      "gradient.residual": residual,
    }
  })
