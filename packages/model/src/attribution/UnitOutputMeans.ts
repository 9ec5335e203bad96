/**
 * What the units of a model put out on the average of some examples.
 *
 * Zero is an output that later layers may never have seen; the mean over some data is one they are used to, so what is
 * lost with it in an output's place is what the output tells token by token (mean ablation: Wang et al., 2023).
 */
import { at, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import * as OrderedBatches from "../runtime/OrderedBatches.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"

/** Outputs of units where their projection reads them. */
export interface UnitOutputMeans {
  /** [layers, heads · headDim] */
  readonly heads: Float32Array
  /** [layers, intermediateSize] */
  readonly mlp: Float32Array
}

/** Examples of equal length in batches: sums over them must not meet padding. */
const alike = (shape: ModelShape, examples: ReadonlyArray<Example>) =>
  [...Map.groupBy(examples.keys(), (k) => at(examples, k).tokens.length).values()].flatMap((indices) => {
    const own = [...indices]
    const extents = Losses.extents(own.map((k) => at(examples, k)))
    return Batches.plan(shape, extents).map((batch) => batch.map((i) => at(own, i)))
  })

/** The means over all tokens of examples that are read: of prompt and response, all but the last. */
export const measure = Effect.fnUntraced(function* (
  shape: ModelShape,
  program: OpenProgram,
  examples: ReadonlyArray<Example>,
): Effect.fn.Return<UnitOutputMeans, ModelError> {
  const { headDim, heads, intermediateSize } = shape
  const layers = shape.layers.length
  const sums = {
    heads: new Float64Array(layers * heads * headDim),
    mlp: new Float64Array(layers * intermediateSize),
  }
  const run = (batch: ReadonlyArray<number>) => {
    const rows = batch.map((k) => at(examples, k).tokens.slice(0, -1))
    const { keyPositions, positions, tokens } = Batches.feeds(rows, [], "right")
    return program.lease((lease) =>
      lease.run({ keyPositions, positions, tokens }, ["sums.heads", "sums.mlp"]),
    )
  }
  yield* OrderedBatches.inOrder(alike(shape, examples), program.width, run, (outputs) => {
    for (const kind of ["heads", "mlp"] as const) {
      const terms = Losses.float32(outputs[`sums.${kind}`])
      for (let i = 0; i < terms.length; i++) sums[kind][i] = known(sums[kind][i]) + known(terms[i])
    }
  })
  const count = examples.reduce((sum, { tokens }) => sum + tokens.length - 1, 0)
  const mean = (sum: Float64Array) => Float32Array.from(sum, (value) => value / count)
  return { heads: mean(sums.heads), mlp: mean(sums.mlp) }
})
