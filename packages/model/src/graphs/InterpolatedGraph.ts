/**
 * The models between a base and an expert as one graph, W = base + gate · (expert − base), with and without the
 * derivative of the loss with respect to every gate.
 */
import type * as Result from "effect/Result"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import type { Use } from "./Use.ts"
import type { Gates, Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

/** What lies between: W = base + gate · (expert − base). */
export interface Ends {
  readonly base: Tensors
  readonly expert: Tensors
}

/** The weights between two models, their difference, and the gates that they depend on. */
const between = (builder: Graph.Builder, shape: ModelShape, { base, expert }: Ends) => {
  const gates: Gates = {
    queryHeads: builder.input("gates.queryHeads", "f32", [shape.layers.length, shape.heads]),
    kvHeads: builder.input("gates.kvHeads", "f32", [shape.layers.length, shape.kvHeads]),
    mlp: builder.input("gates.mlp", "f32", [shape.layers.length]),
    residual: builder.input("gates.residual", "f32", []),
  }
  const start = Weights.stored(builder, base, "base/")
  const difference = Weights.difference(start, Weights.stored(builder, expert, "expert/"))
  return { difference, weights: Weights.interpolated(builder, start, difference, gates) }
}

/**
 * The decoder without a cache. Adds the inputs `gates.queryHeads` [layers, heads], `gates.kvHeads` [layers, kvHeads],
 * `gates.mlp` [layers] and the scalar `gates.residual`.
 */
export const delta = (shape: ModelShape, ends: Ends): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-delta`, (builder) =>
    decoder(builder, shape, between(builder, shape, ends).weights, { cache: false }),
  )

/**
 * The same inputs and `coefficients` (see `lossGradients`); returns `logLikelihood` [rows] and, sequence by sequence, the
 * derivatives `gradient.queryHeads` [batch, layers, heads], `gradient.kvHeads` [batch, layers, kvHeads] and
 * `gradient.mlp` [batch, layers]; that of the residual's gate is what its sequence has of `gradient.residual` [batch]
 * and the sum of what its rows have of `gradient.residualRows` [rows].
 *
 * The derivative along a unit's change Δ of a linear layer y = W·x is Σ over a sequence's tokens of ⟨∂Loss/∂y, Δ·x⟩, so
 * one backward pass gives it for every sequence of a batch by itself, for one more product per weight.
 */
export const deltaGradient = (shape: ModelShape, ends: Ends): Result.Result<Graph.Graph, GraphError> =>
  Graph.build(`${shape.modelType}-delta-gradient`, (builder) => {
    const { difference, weights } = between(builder, shape, ends)
    const uses: Array<Use> = []
    const { logLikelihood } = decoder(builder, shape, weights, {
      cache: false,
      onUse: (use) => {
        uses.push(use)
        return use.output
      },
    })
    const adjoints = lossGradients(
      builder,
      logLikelihood,
      uses.map(({ output }) => output),
    )
    const sums = new Map<string, Graph.Value<"f32">>()
    builder.scoped("gates", () =>
      uses.forEach((use, i) => {
        const [gate, term] = along(shape, use, adjoints[i] ?? use.output, difference)
        const known = sums.get(gate)
        sums.set(gate, known === undefined ? term : Op.add(known, term))
      }),
    )
    const sum = (gate: string) => sums.get(gate) ?? builder.fail("Adjoint", `nothing depends on ${gate}`)
    const ofLayers = (gate: string) => {
      const [first, ...rest] = shape.layers.map((_, l) => {
        const own = sum(`${gate}.${l}`)
        return Op.reshape(own, ["batch", 1, ...own.shape.slice(1)])
      })
      return first === undefined ? sum(gate) : Op.concat([first, ...rest], 1)
    }
    return {
      logLikelihood,
      "gradient.queryHeads": ofLayers("QueryHeads"),
      "gradient.kvHeads": ofLayers("KvHeads"),
      "gradient.mlp": ofLayers("Mlp"),
      "gradient.residual": sum("Residual.batch"),
      "gradient.residualRows": sum("Residual.rows"),
    }
  })

/** The derivative along a change of the weight in use, per sequence or row and head, and the gate that it belongs to. */
const along = (
  { heads, kvHeads }: ModelShape,
  { alongInputs, back, by, input, output, owner }: Use,
  adjoint: Graph.Value<"f32">,
  change: Weights.Weights,
): readonly [gate: string, term: Graph.Value<"f32">] => {
  const product =
    alongInputs === true && back !== undefined && input !== undefined
      ? Op.mul(back(change, adjoint), input)
      : Op.mul(adjoint, by(change))
  const first = Op.dim(output, 0)
  const all = () =>
    Op.reshape(
      Op.sum(
        product,
        product.shape.flatMap((_, axis) => (axis === 0 ? [] : [axis])),
      ),
      [first],
    )
  switch (owner._tag) {
    case "Residual":
      return [`Residual.${first}`, all()]
    case "Mlp":
      return [`Mlp.${owner.layer}`, all()]
    case "QueryHeads":
    case "KvHeads": {
      // [batch, sequence, heads · width]
      const count = owner._tag === "QueryHeads" ? heads : kvHeads
      const ofTokens = Op.sum(product, [1])
      const split = Op.reshape(ofTokens, [first, count, Number(Op.dim(product, -1)) / count])
      return [`${owner._tag}.${owner.layer}`, Op.reshape(Op.sum(split, [2]), [first, count])]
    }
  }
}
