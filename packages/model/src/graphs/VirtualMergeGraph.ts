/**
 * A merge of several experts that is never written: W = base + Σ λ(expert, group) · (W(expert) − base), with λ as
 * inputs of the graph, with and without the derivative of the loss with respect to every λ.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** What is merged. */
export interface Merge {
  readonly shape: ModelShape
  readonly base: Tensors
  readonly experts: ReadonlyArray<Tensors>
  /** The index of the group that a tensor moves with. */
  readonly groupOf: (tensor: string) => number
  readonly groups: number
}

type Real = Graph.Value<"f32">

const merged = (builder: Graph.Builder, { base, experts, groupOf, groups, shape }: Merge) => {
  const lambdas = builder.input("lambdas", "f32", [experts.length, groups])
  const count = experts.length * groups
  const ones = Array.from<number>({ length: count }).fill(1)
  const each = Op.split(Op.reshape(lambdas, [count]), ones, 0)
  const from = Weights.stored(builder, base, "base/")
  const to = experts.map((tensors, k) => Weights.stored(builder, tensors, `expert.${k}/`))
  /** A tensor of the base moved by those of the experts. */
  const moved = (tensor: string, start: Real, ends: ReadonlyArray<Real>): Real =>
    ends.reduce((sum, end, k) => {
      const lambda =
        each[k * groups + groupOf(tensor)] ??
        builder.fail("weight", `"${tensor}" belongs to group ${groupOf(tensor)} of ${groups}`)
      return Op.add(sum, Op.mul(Op.sub(end, start), lambda))
    }, start)
  const weights: Weights.Weights = {
    tensor: Weights.cached((name, ...rest) =>
      moved(
        name,
        from.tensor(name, ...rest),
        to.map((expert) => expert.tensor(name, ...rest)),
      ),
    ),
    rows: (name, ...rest) =>
      moved(
        name,
        from.rows(name, ...rest),
        to.map((expert) => expert.rows(name, ...rest)),
      ),
  }
  return { lambdas, logLikelihood: decoder(builder, shape, weights, { cache: false }).logLikelihood }
}

/** The decoder without a cache. Adds the input `lambdas` [experts, groups]; returns `logLikelihood` [rows]. */
export const virtualMerge = (merge: Merge): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${merge.shape.modelType}-merge`, (builder) => {
    const { logLikelihood } = merged(builder, merge)
    return { logLikelihood }
  })

/** The same and `coefficients` (see `lossGradients`); also returns `gradient` [experts, groups]. */
export const virtualMergeGradient = (merge: Merge): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${merge.shape.modelType}-merge-gradient`, (builder) => {
    const { lambdas, logLikelihood } = merged(builder, merge)
    const [gradient] = lossGradients(builder, logLikelihood, [lambdas])
    return { logLikelihood, gradient }
  })
