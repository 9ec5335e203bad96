/**
 * The backward pass of a model that runs piece by piece: losses of examples and their derivatives with respect to the
 * gates.
 *
 * Hidden states between layers are kept from the forward pass; each layer is computed again where its derivative is
 * taken, so memory is one layer's. An example is a run of its own, since a derivative is asked for each.
 */
import { at, entry, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import * as AblationGates from "../attribution/AblationGates.ts"
import type { BlockGraph } from "../graphs/BlockGraph.ts"
import * as BlockGraphs from "../graphs/BlockGraph.ts"
import type { ModelError } from "../ModelError.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Parts } from "./Forward.ts"
import * as Forward from "./Forward.ts"
import * as Head from "./Head.ts"
import * as Pieces from "./Pieces.ts"
import * as Predictions from "./Predictions.ts"
import * as Residual from "./Residual.ts"

/** A loss and its derivative with respect to every gate. */
export interface GateGradient {
  /** Mean negative log-likelihood of the response, in nats per token. */
  readonly loss: number
  /** ∂ loss / ∂ gate, laid out as the gates are. */
  readonly gates: AblationGates.AblationGates
}

/** The graphs that run a model's pieces backwards. */
export interface Graphs {
  readonly layers: ReadonlyArray<BlockGraph>
  readonly head: BlockGraph
}

/** Writes the backward graphs. */
export const graphs = Effect.fnUntraced(function* ({
  name,
  shape,
}: Parts): Effect.fn.Return<Graphs, ModelError> {
  const layers = yield* Effect.forEach(shape.layers, (_, l) =>
    Pieces.built(name, BlockGraphs.layerGradient(shape, l)),
  )
  return { layers, head: yield* Pieces.built(name, BlockGraphs.headGradient(shape)) }
})

/** The losses of examples and their gradients at `gates`; the examples are checked. */
export const gradients = Effect.fnUntraced(function* (
  parts: Parts,
  backward: Graphs,
  examples: ReadonlyArray<Example>,
  gates: AblationGates.AblationGates,
): Effect.fn.Return<ReadonlyArray<GateGradient>, ModelError> {
  const { name, pieces, runner, shape } = parts
  const { heads, hiddenSize } = shape
  const layers = shape.layers.length
  const forward = Forward.make(parts)
  const head = Head.make(shape, pieces, runner)
  const rows = examples.map(({ tokens }) => tokens.slice(0, -1))
  const results: Array<GateGradient> = []

  const group = Effect.fnUntraced(function* (batches: ReadonlyArray<ReadonlyArray<number>>) {
    // The streams before each layer and behind the last.
    const streams = [yield* forward.embed(rows, batches)]
    for (let l = 0; l < layers; l++) streams.push(yield* forward.layer(l, known(streams[l]), gates))
    const last = at(streams, layers)
    const questions = Predictions.of(last, examples, hiddenSize)
    const { logLikelihood, logSumExp } = yield* head.logLikelihoods(questions)
    const losses = Predictions.losses(questions, logLikelihood, examples)
    yield* Losses.checkFinite(name, losses)
    const ofTargets = yield* head.gradient(questions, logSumExp, backward.head)
    const adjoints = [...Predictions.adjoints(questions, ofTargets, last, hiddenSize)]
    const found = batches.map(() => AblationGates.filled(shape, 0))
    for (const [l, { piece }] of [...pieces.layers.entries()].toReversed()) {
      yield* runner.use(piece, (run) =>
        Effect.forEach(
          at(streams, l),
          Effect.fnUntraced(function* (batch, i) {
            const feeds = Residual.feeds(shape, batch)
            const adjoint = Batches.float32(at(adjoints, i), entry(feeds, "hidden").dims)
            // Nothing asks for the derivative with respect to the embedded tokens.
            const wanted = l === 0 ? ["d.heads", "d.mlp"] : ["d.heads", "d.mlp", "d.hidden"]
            const outputs = yield* run(
              at(backward.layers, l).encoded,
              { ...feeds, ...Forward.gateFeeds(shape, gates, l), adjoint },
              wanted,
            )
            adjoints[i] = Losses.float32(outputs["d.hidden"])
            at(found, i).heads.set(Losses.float32(outputs["d.heads"]), l * heads)
            at(found, i).mlp.set(Losses.float32(outputs["d.mlp"]), l)
          }),
          { discard: true },
        ),
      )
      streams.length = l
    }
    for (const [i, batch] of batches.entries()) {
      const row = at(batch, 0)
      results[row] = { loss: at(losses, row), gates: at(found, i) }
    }
  })

  const alone = rows.map((_, row) => [row])
  const kept = { states: layers + 3, limit: pieces.budget.streams }
  yield* Effect.forEach(Residual.groups(rows, alone, kept, shape), group, { discard: true })
  return results
})
