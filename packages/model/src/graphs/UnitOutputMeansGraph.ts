/**
 * The sums that give the means of what heads and MLPs put out.
 *
 * A head is what goes into its columns of the output projection, an MLP what goes into its down projection; both
 * projections are linear, so a constant there is a constant in what the unit adds to the residual stream.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import * as Block from "./Block.ts"
import * as Contexts from "./Context.ts"
import * as Decoder from "./Decoder.ts"
import type { Use } from "./Use.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Real = Graph.Value<"f32">

/**
 * From `tokens`, `positions` and `keyPositions` i32 [batch, sequence] to `sums.heads` [layers, heads · headDim] and
 * `sums.mlp` [layers, intermediateSize]: Σ over all sequences and positions, which must not be padded.
 */
export const unitMeans = (shape: ModelShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-unit-means`, (builder) => {
    const tokens = builder.input("tokens", "i32", ["batch", "sequence"])
    const places = Contexts.places(builder)
    const sums = { heads: Array<Real>(), mlp: Array<Real>() }
    const weights = Weights.stored(builder, tensors)
    const context = Contexts.make(builder, shape, weights, places)
    let stream = Decoder.embed(context, tokens, places.positions)
    for (const [l, { down, output: projection }] of shape.layers.entries()) {
      const onUse = ({ input, output, tensor }: Use): Real => {
        const of = tensor === projection.weight ? sums.heads : tensor === down.weight ? sums.mlp : undefined
        if (input !== undefined) of?.push(Op.reshape(Op.sum(input, [0, 1]), [1, Number(Op.dim(input, -1))]))
        return output
      }
      stream = Block.layer({ ...context, onUse }, l, stream).hidden
    }
    const all = ([first, ...rest]: ReadonlyArray<Real>) =>
      first === undefined ? builder.fail("Sums", "the model has no layer") : Op.concat([first, ...rest], 0)
    return { "sums.heads": all(sums.heads), "sums.mlp": all(sums.mlp) }
  })
