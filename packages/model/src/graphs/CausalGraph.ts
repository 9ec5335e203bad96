/**
 * The two graphs that run: a model with ablation gates and a key-value cache, and the path between two models.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import { decoder } from "./Decoder.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** A model over its own weights. Adds the inputs `gates.heads` [layers, heads] and `gates.mlp` [layers]. */
export const causal = (shape: ModelShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(shape.modelType, (builder) => {
    const gates = {
      heads: builder.input("gates.heads", "f32", [shape.layers, shape.heads]),
      mlp: builder.input("gates.mlp", "f32", [shape.layers]),
    }
    return decoder(builder, shape, Weights.stored(builder, tensors), { gates, cache: true })
  })

/**
 * The model W = base + gate · (expert − base), without a cache. Adds the inputs `gates.queryHeads` [layers, heads],
 * `gates.kvHeads` [layers, kvHeads], `gates.mlp` [layers] and the scalar `gates.residual`.
 */
export const delta = (
  shape: ModelShape,
  base: Tensors,
  expert: Tensors,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-delta`, (builder) => {
    const gates = {
      queryHeads: builder.input("gates.queryHeads", "f32", [shape.layers, shape.heads]),
      kvHeads: builder.input("gates.kvHeads", "f32", [shape.layers, shape.kvHeads]),
      mlp: builder.input("gates.mlp", "f32", [shape.layers]),
      residual: builder.input("gates.residual", "f32", []),
    }
    const between = Weights.interpolated(
      builder,
      Weights.stored(builder, base, "base/"),
      Weights.stored(builder, expert, "expert/"),
      gates,
    )
    return decoder(builder, shape, between, { cache: false })
  })
