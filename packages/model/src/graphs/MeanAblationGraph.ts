/**
 * A model whose heads and MLPs can be replaced by constants, and the sums that give their means.
 *
 * A head is what goes into its columns of the output projection, an MLP what goes into its down projection; both
 * projections are linear, so a constant there is a constant in what the unit adds to the residual stream.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { decoder } from "./Decoder.ts"
import type { Use } from "./Use.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Real = Graph.Value<"f32">

/**
 * The decoder without a cache. Adds the inputs `gates.heads` [layers, heads] and `gates.mlp` [layers], 1 for a unit as it
 * is and 0 for one replaced by `means.heads` [layers, heads · headDim] or `means.mlp` [layers, intermediateSize]. Returns
 * `logLikelihood` [rows], and `sums.heads` and `sums.mlp` in the shapes of the means: Σ over all sequences and positions,
 * which must not be padded.
 */
export const meanAblation = (shape: ModelShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-mean-ablation`, (builder) => {
    const { headDim, heads, intermediateSize, layers } = shape
    const gatesOfHeads = builder.input("gates.heads", "f32", [layers, heads])
    const gatesOfMlps = builder.input("gates.mlp", "f32", [layers])
    const meansOfHeads = builder.input("means.heads", "f32", [layers, heads * headDim])
    const meansOfMlps = builder.input("means.mlp", "f32", [layers, intermediateSize])
    const weights = Weights.stored(builder, tensors)
    const names = Array.from({ length: layers }, (_, l) => shape.layer(l))
    const sums = { heads: new Map<number, Real>(), mlp: new Map<number, Real>() }
    const headOf = builder.indices(Array.from({ length: heads * headDim }, (_, i) => Math.floor(i / headDim)))

    const gated = (l: number, kind: keyof typeof sums, x: Real): Real => {
      const size = Number(Op.dim(x, -1))
      sums[kind].set(l, Op.reshape(Op.sum(x, [0, 1]), [1, size]))
      const own = (of: Real) => Op.gather(of, builder.indices(l), 0)
      const gate =
        kind === "mlp" ? own(gatesOfMlps) : Op.reshape(Op.gather(own(gatesOfHeads), headOf, 0), [1, 1, size])
      const mean = Op.reshape(own(kind === "mlp" ? meansOfMlps : meansOfHeads), [1, 1, size])
      return Op.add(Op.mul(x, gate), Op.mul(mean, Op.sub(builder.constant(1), gate)))
    }
    const onUse = ({ by, input, output, tensor }: Use): Real => {
      if (input === undefined) return output
      const [ofHeads, ofMlp] = [
        names.findIndex((layer) => layer.output.weight === tensor),
        names.findIndex((layer) => layer.down.weight === tensor),
      ]
      if (ofHeads !== -1) return by(weights, gated(ofHeads, "heads", input))
      return ofMlp === -1 ? output : by(weights, gated(ofMlp, "mlp", input))
    }
    const { logLikelihood } = decoder(builder, shape, weights, { cache: false, onUse })
    const all = (kind: keyof typeof sums) => {
      const [first, ...rest] = [...sums[kind].values()]
      return first === undefined
        ? builder.fail("Sums", "the model has no layer")
        : Op.concat([first, ...rest], 0)
    }
    return { logLikelihood, "sums.heads": all("heads"), "sums.mlp": all("mlp") }
  })
