/**
 * A merge of several experts that is never written: W = base + Σ λ(expert, group) · (W(expert) − base), with λ as
 * inputs of the graph, with and without derivatives with respect to every λ.
 *
 * A tensor moves with one group, or its rows or columns with several: every expert then has a vector of coefficients
 * along that axis, gathered from λ.
 */
import { at } from "@hila/core/Lookup"
import type * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** Rows (axis 0) or columns (axis 1) `[start, end)` of a tensor, and the index of the group that they move with. */
export interface GroupSpan {
  readonly axis: 0 | 1
  readonly start: number
  readonly end: number
  readonly group: number
}

/** What is merged. */
export interface Merge {
  readonly shape: ModelShape
  readonly base: Tensors
  readonly experts: ReadonlyArray<Tensors>
  /** The index of the group that a tensor moves with; with spans, what lies in none of them stays the base's. */
  readonly groupOf: (tensor: string) => number | ReadonlyArray<GroupSpan>
  readonly groups: number
}

type Real = Graph.Value<"f32">

const merged = (builder: Graph.Builder, { base, experts, groupOf, groups, shape }: Merge) => {
  const lambdas = builder.input("lambdas", "f32", [experts.length, groups])
  const count = experts.length * groups
  const ones = Array.from<number>({ length: count }).fill(1)
  const each = Op.split(Op.reshape(lambdas, [count]), ones, 0)
  /** [groups + 1] for every expert: its coefficients, and 0 for what belongs to no group. */
  const rows = experts.map((_, k) =>
    Op.concat([Op.gather(lambdas, builder.indices(k), 0), builder.constant([0])], 0),
  )
  const from = Weights.stored(builder, base, "base/")
  const to = experts.map((tensors, k) => Weights.stored(builder, tensors, `expert.${k}/`))

  /** A tensor of the base moved by those of the experts. */
  const moved = (start: Real, ends: ReadonlyArray<Real>, lambda: (expert: number) => Real): Real =>
    ends.reduce((sum, end, k) => Op.add(sum, Op.mul(Op.sub(end, start), lambda(k))), start)
  const whole = (group: number) => (k: number) =>
    each[k * groups + group] ?? builder.fail("weight", `there is no group ${group} of ${groups}`)
  /** Coefficients along the axis of the spans, in a shape that broadcasts over the tensor. */
  const along = (size: ReadonlyArray<number>, spans: ReadonlyArray<GroupSpan>) => {
    // A tensor in no span stays the base's, whatever the axis.
    const axis = spans.length === 0 ? 0 : at(spans, 0).axis
    const indices = Array.from<number>({ length: at(size, axis) }).fill(groups)
    for (const { end, group, start } of spans) indices.fill(group, start, end)
    return (k: number) => {
      const row = rows[k] ?? builder.fail("weight", `there is no expert ${k}`)
      const entries = Op.gather(row, builder.indices(indices), 0)
      return Op.reshape(
        entries,
        size.map((extent, i) => (i === axis ? extent : 1)),
      )
    }
  }

  const weights: Weights.Weights = {
    tensor: Weights.cached((name, size, owner, blocks) => {
      const group = groupOf(name)
      const ends = (part?: Weights.Blocks) => to.map((expert) => expert.tensor(name, size, owner, part))
      if (typeof group === "number") {
        return moved(from.tensor(name, size, owner, blocks), ends(blocks), whole(group))
      }
      const all = moved(from.tensor(name, size, owner), ends(), along(size, group))
      return blocks === undefined ? all : Weights.blocksOf(all, blocks)
    }),
    rows: (name, ...rest) => {
      const group = groupOf(name)
      if (typeof group !== "number") {
        return builder.fail("weight", `the rows of "${name}" are looked up and cannot move apart`)
      }
      return moved(
        from.rows(name, ...rest),
        to.map((expert) => expert.rows(name, ...rest)),
        whole(group),
      )
    },
  }
  return { lambdas, outputs: decoder(builder, shape, weights, { cache: false }) }
}

/** The decoder without a cache. Adds the input `lambdas` [experts, groups]; returns `logLikelihood` [rows]. */
export const virtualMerge = (merge: Merge): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${merge.shape.modelType}-merge`, (builder) => {
    const { logLikelihood } = merged(builder, merge).outputs
    return { logLikelihood }
  })

/** The same and `coefficients` (see `lossGradients`); also returns `gradient` [experts, groups]. */
export const virtualMergeGradient = (merge: Merge): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${merge.shape.modelType}-merge-gradient`, (builder) => {
    const { lambdas, outputs } = merged(builder, merge)
    const [gradient] = lossGradients(builder, outputs.logLikelihood, [lambdas])
    return { logLikelihood: outputs.logLikelihood, gradient }
  })

/**
 * The same for Σ coefficient · (−entropy of what is predicted at each row); also returns `negentropy` [rows],
 * Σ p log p over the vocabulary, in nats.
 */
export const virtualMergeEntropy = (merge: Merge): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${merge.shape.modelType}-merge-entropy`, (builder) => {
    const { lambdas, outputs } = merged(builder, merge)
    const negentropy = builder.scoped("entropy", () => {
      const logs = Op.logSoftmax(outputs.logits, -1)
      return Op.reshape(Op.sum(Op.mul(Op.exp(logs), logs), [-1]), ["rows"])
    })
    const [gradient] = lossGradients(builder, negentropy, [lambdas])
    return { logLikelihood: outputs.logLikelihood, negentropy, gradient }
  })
