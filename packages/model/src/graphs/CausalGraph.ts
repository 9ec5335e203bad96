/**
 * The graph of a model over its own weights, with ablation gates and a key-value cache.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import { decoder } from "./Decoder.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** A model over its own weights. Adds the inputs `gates.heads` [layers, heads] and `gates.mlp` [layers]. */
export const causal = (shape: ModelShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(shape.modelType, (builder) => {
    const gates = {
      heads: builder.input("gates.heads", "f32", [shape.layers.length, shape.heads]),
      mlp: builder.input("gates.mlp", "f32", [shape.layers.length]),
    }
    return decoder(builder, shape, Weights.stored(builder, tensors), { gates, cache: true })
  })
