/**
 * The sensitivity of a loss to groups of parameters, Σ |θ · ∂Loss/∂θ| over each group: how much the loss would change
 * if a parameter were zero, to first order (LeCun et al., 1989; Sun et al., 2025, use it per layer).
 *
 * Every parameter's derivative is taken and reduced inside the graph: one number per group leaves it.
 */
import type * as Result from "effect/Result"
import * as LayerGroup from "../units/LayerGroup.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Owner, Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** The groups of a model's tensors, in the order of `sensitivity`. */
export const groupsOf = (shape: ModelShape): ReadonlyArray<string> => [
  ...new Set([...shape.expected.keys()].map(LayerGroup.of)),
]

const residual: Owner = { _tag: "Residual" }

/** Σ |a · b| over all elements, [1]. */
const overlap = (a: Graph.Value<"f32">, b: Graph.Value<"f32">): Graph.Value<"f32"> =>
  Op.reshape(Op.sum(Op.abs(Op.mul(a, b)), [...a.shape.keys()]), [1])

/**
 * A decoder without a cache, and the sensitivities of Σ coefficient · log-likelihood (see `lossGradients`), tensors
 * grouped by layer. Returns `logLikelihood` [rows] and `sensitivity` [groups], see `groupsOf`. A tied embedding counts
 * once, with what both of its uses add up to.
 */
export const sensitivity = (shape: ModelShape, tensors: Tensors): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-sensitivity`, (builder) => {
    const stored = Weights.stored(builder, tensors)
    const { logLikelihood } = decoder(
      builder,
      shape,
      // Rows of the same f32 value that the head multiplies by, so that a tied table has one derivative.
      {
        ...stored,
        rows: (name, size, indices) => Op.gather(stored.tensor(name, size, residual), indices, 0),
      },
      { cache: false },
    )
    const names = [...shape.expected.keys()]
    const parameters = [...shape.expected].map(([name, size]) => stored.tensor(name, size, residual))
    const derivatives = lossGradients(builder, logLikelihood, parameters)
    const parts = builder.scoped("sensitivity", () =>
      groupsOf(shape).map((group) =>
        names
          .flatMap((name, i) => {
            const [parameter, derivative] = [parameters[i], derivatives[i]]
            return LayerGroup.of(name) === group && parameter !== undefined && derivative !== undefined
              ? [overlap(parameter, derivative)]
              : []
          })
          .reduce(Op.add),
      ),
    )
    const [first, ...rest] = parts
    const joined = first === undefined ? builder.constant([]) : Op.concat([first, ...rest], 0)
    return { logLikelihood, sensitivity: joined }
  })
