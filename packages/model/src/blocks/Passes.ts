/**
 * Losses of examples on a model that runs piece by piece: as many examples go through a layer, once it is loaded, as the
 * budget has room for their streams.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import type { AblationGates } from "../attribution/AblationGates.ts"
import type { ModelError } from "../ModelError.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Parts } from "./Forward.ts"
import * as Forward from "./Forward.ts"
import * as Head from "./Head.ts"
import * as Predictions from "./Predictions.ts"
import * as Residual from "./Residual.ts"

/** Mean negative log-likelihood of each example's response at `gates`, in nats per token; the examples are checked. */
export const losses = Effect.fnUntraced(function* (
  parts: Parts,
  examples: ReadonlyArray<Example>,
  gates: AblationGates,
): Effect.fn.Return<Float64Array, ModelError> {
  const { name, pieces, runner, shape } = parts
  const { activations, streams } = pieces.budget
  const forward = Forward.make(parts)
  const head = Head.make(shape, pieces, runner)
  // The last token predicts nothing and is not read.
  const rows = examples.map(({ tokens }) => tokens.slice(0, -1))
  const extents = rows.map(({ length }) => ({ length, total: length, rows: 0 }))
  // What one layer, without the vocabulary, has to hold.
  const batches = Batches.plan(
    { ...shape, layers: shape.layers.slice(0, 1), vocabSize: 0 },
    extents,
    activations,
  )
  const results = new Float64Array(examples.length)
  for (const group of Residual.groups(rows, batches, { states: 3, limit: streams }, shape)) {
    let stream = yield* forward.embed(rows, group)
    for (let l = 0; l < shape.layers.length; l++) stream = yield* forward.layer(l, stream, gates)
    const asked = Predictions.of(stream, examples, shape.hiddenSize)
    const { logLikelihood } = yield* head.logLikelihoods(asked)
    const found = Predictions.losses(asked, logLikelihood, examples)
    yield* Losses.checkFinite(name, found)
    for (const row of group.flat()) results[row] = at(found, row)
  }
  return results
})
