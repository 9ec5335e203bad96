/**
 * What weights meet on data, reduced inside the graph: squares of gradients, covariances of what linear layers read
 * and of the derivatives of what they return, mean magnitudes.
 *
 * Per run only sums leave the graph, in the shape of what is written to the file: [in, in] of a linear layer rather than
 * [tokens, in]. A graph may be of some of a model's quantities, so that what leaves it fits a budget of memory.
 */
import { at, entry } from "@hila/core/Lookup"
import * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { pruned } from "../onnx/Prune.ts"
import type { Kind } from "../attribution/StatisticsKind.ts"
import * as Covariance from "./Covariance.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Measured, Quantity } from "./Quantities.ts"
import * as Quantities from "./Quantities.ts"
import * as Taps from "./Taps.ts"
import type { Tensors } from "./Weights.ts"

export type { Quantity } from "./Quantities.ts"

type Real = Graph.Value<"f32">

/** What is wanted of a model. */
export interface Wanted {
  readonly kind: Kind
  /** Covariances along heads as their diagonal blocks, and inside of the MLP as their diagonals. */
  readonly blocked: boolean
}

/** Whether a kind needs the backward pass. */
export const isGradient = (kind: Kind): boolean =>
  kind === "fisher" || kind === "saliency" || kind === "kronecker"

/** What a kind of statistics measures in a decoder, in the order of the model. */
const measured = (watched: Quantities.Watched, { blocked, kind }: Wanted): ReadonlyArray<Measured> => {
  if (kind === "fisher") return Quantities.ofParameters(watched, (_, d) => Op.mul(d, d))
  if (kind === "saliency") return Quantities.ofParameters(watched, (p, d) => Op.abs(Op.mul(p, d)))
  const { builder, made, shape } = watched
  const { head, linears, norms } = Taps.find(builder, shape, made)
  const seen = Quantities.isToken(builder)
  const { ofInput, ofOutput } = Covariance.formsOf(shape, blocked)
  // A head that is the embedding has no weight of its own.
  const all = shape.tiedEmbeddings ? linears : [...linears, head]
  switch (kind) {
    case "activation":
      return Quantities.ofInputs(seen, "magnitude", [...all, ...norms], () => "magnitude")
    case "gram":
      return Quantities.ofInputs(seen, "input", all, ofInput)
    case "kronecker":
      return [
        ...Quantities.ofInputs(seen, "input", linears, ofInput),
        ...linears.map((linear) => Quantities.ofOutput(linear, ofOutput(linear.weight))),
        ...Quantities.ofVocabulary(watched, seen, head),
      ]
  }
}

/** What can be measured, in the order of the model. */
export const quantities = (
  shape: ModelShape,
  tensors: Tensors,
  wanted: Wanted,
): Result.Result<ReadonlyArray<Quantity>, GraphError> => {
  let found: ReadonlyArray<Quantity> = []
  const graph = Graph.build("statistics", (builder) => {
    found = measured(Quantities.watch(builder, shape, tensors), wanted)
    return {}
  })
  return Result.map(graph, () => found.map(({ names, per, shape: own }) => ({ names, per, shape: own })))
}

/**
 * A decoder without a cache, and sums over its inputs: `quantity.<i>` for each index of `chosen` into `quantities`. With
 * gradients, those are of Σ coefficient · log-likelihood (see `lossGradients`), and squares and magnitudes of them are
 * of one example where the inputs are. Holds no layers behind those that the sums are of, unless for their gradients.
 */
export const statistics = (
  shape: ModelShape,
  tensors: Tensors,
  wanted: Wanted,
  chosen: ReadonlyArray<number>,
): Result.Result<Graph.Graph, GraphError> =>
  Result.map(
    Graph.build(`${shape.modelType}-${wanted.kind}`, (builder) => {
      const watched = Quantities.watch(builder, shape, tensors)
      const all = measured(watched, wanted)
      const own = chosen.map((i) => at(all, i))
      const variables = [...new Set(own.flatMap((quantity) => quantity.variables))]
      const derivatives = new Map<Real, Real>(
        lossGradients(builder, watched.logLikelihood, variables).map((derivative, i) => [
          at(variables, i),
          derivative,
        ]),
      )
      return Object.fromEntries(
        own.map(({ variables: of, write }, i) => [
          `quantity.${chosen[i]}`,
          builder.scoped("statistics", () => write(of.map((variable) => entry(derivatives, variable)))),
        ]),
      )
    }),
    pruned,
  )
