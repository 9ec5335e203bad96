/**
 * Squared derivatives of an expert's loss along its change, parameter by parameter, summed over each head and MLP.
 *
 * Products of gradient and change are squared and added up inside the graph: one number per unit leaves it.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Real = Graph.Value<"f32">

/**
 * The decoder of the expert without a cache, and `coefficients` (see `lossGradients`). Returns `logLikelihood` [rows] and
 * Σ (∂objective/∂W · (W − base))² over the query rows and output columns of each head, `squares.queryHeads` [layers,
 * heads], the key and value rows of each key-value head, `squares.kvHeads` [layers, kvHeads], and each MLP, `squares.mlp`
 * [layers].
 */
export const deltaFisher = (
  shape: ModelShape,
  base: Tensors,
  expert: Tensors,
): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-delta-fisher`, (builder) => {
    const own = Weights.stored(builder, expert, "expert/")
    const change = Weights.difference(Weights.stored(builder, base, "base/"), own)
    const parameters = new Map<Real, { readonly owner: Weights.Owner; readonly delta: () => Real }>()
    const weights: Weights.Weights = {
      ...own,
      tensor: (name, size, owner, blocks) => {
        const value = own.tensor(name, size, owner, blocks)
        if (owner._tag !== "Residual") {
          parameters.set(value, { owner, delta: () => change.tensor(name, size, owner, blocks) })
        }
        return value
      },
    }
    const { logLikelihood } = decoder(builder, shape, weights, { cache: false })
    const variables = [...parameters.keys()]
    const derivatives = lossGradients(builder, logLikelihood, variables)
    const sums = new Map<string, Real>()
    builder.scoped("squares", () =>
      [...parameters.values()].forEach(({ delta, owner }, i) => {
        const along = Op.mul(derivatives[i] ?? delta(), delta())
        const key = `${owner._tag}.${"layer" in owner ? owner.layer : ""}`
        const term = perHead(shape, owner, Op.mul(along, along))
        const known = sums.get(key)
        sums.set(key, known === undefined ? term : Op.add(known, term))
      }),
    )
    const ofLayers = (tag: Weights.Owner["_tag"]): Real => {
      const [first, ...rest] = Array.from(
        { length: shape.layers.length },
        (_, l) => sums.get(`${tag}.${l}`) ?? builder.fail("Squares", `layer ${l} has no ${tag}`),
      )
      return first === undefined
        ? builder.fail("Squares", "the model has no layer")
        : Op.concat([first, ...rest], 0)
    }
    return {
      logLikelihood,
      "squares.queryHeads": ofLayers("QueryHeads"),
      "squares.kvHeads": ofLayers("KvHeads"),
      "squares.mlp": ofLayers("Mlp"),
    }
  })

/** The sum of a weight's entries for each head along its axis, [1, heads]; for the whole of an MLP's, [1]. */
const perHead = ({ heads, kvHeads }: ModelShape, owner: Weights.Owner, x: Real): Real => {
  if (owner._tag === "Residual" || owner._tag === "Mlp") {
    return Op.reshape(Op.sum(x, [...x.shape.keys()]), [1])
  }
  const count = owner._tag === "QueryHeads" ? heads : kvHeads
  const size = Number(Op.dim(x, owner.axis))
  const split = Op.reshape(x, x.shape.toSpliced(owner.axis, 1, count, size / count))
  const others = split.shape.flatMap((_, axis) => (axis === owner.axis ? [] : [axis]))
  return Op.reshape(Op.sum(split, others), [1, count])
}
