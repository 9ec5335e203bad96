/**
 * What any model that runs piece by piece does, whatever its gates: streams, and losses.
 */
import * as Effect from "effect/Effect"
import type { Example } from "../Example.ts"
import { ModelError } from "../ModelError.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Parts } from "./Forward.ts"
import * as Forward from "./Forward.ts"
import * as Head from "./Head.ts"
import * as Predictions from "./Predictions.ts"
import type { Residual } from "./Residual.ts"
import * as Residuals from "./Residual.ts"

export interface Passes<in G> {
  /** Fails unless the examples are of the model and the gates as many as it has. */
  readonly check: (
    examples: ReadonlyArray<Example>,
    settings: ReadonlyArray<G>,
  ) => Effect.Effect<void, ModelError>
  /** The residual stream of rows of tokens before layer `upTo`, 0…layers. */
  readonly hidden: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    upTo: number,
    gates: G,
  ) => Effect.Effect<Residual, ModelError>
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: (examples: ReadonlyArray<Example>, gates: G) => Effect.Effect<Float64Array, ModelError>
}

/** The tokens of examples that are read: the last predicts nothing. */
const inputsOf = (examples: ReadonlyArray<Example>) => examples.map(({ tokens }) => tokens.slice(0, -1))

/** Passes over pieces. */
export const make = <G>(parts: Parts<G>): Passes<G> => {
  const { gating, name, pieces, runner, shape } = parts
  const { budget } = pieces
  const { hiddenSize, layers } = shape
  const forward = Forward.make(parts)
  const head = Head.make(shape, pieces, runner)
  const refuse = (problem: string) => Effect.fail(new ModelError({ model: name, problem, blame: "input" }))

  const check: Passes<G>["check"] = Effect.fnUntraced(function* (examples, settings) {
    yield* Losses.checkExamples(name, shape, examples)
    for (const gates of settings) {
      const problem = gating.misfit(gates)
      if (problem !== undefined) return yield* refuse(problem)
    }
  })

  /** What one layer, without the vocabulary, has to hold. */
  const oneLayer = { ...shape, layers: 1, vocabSize: 0 }
  const batchesOf = (rows: ReadonlyArray<ReadonlyArray<number>>) =>
    Batches.plan(
      oneLayer,
      rows.map(({ length }) => ({ length, total: length, rows: 0 })),
      budget.activations,
    )

  const checkLayer = (upTo: number) =>
    Number.isInteger(upTo) && upTo >= 0 && upTo <= layers
      ? Effect.void
      : refuse(`expected a layer of 0…${layers}, got ${upTo}`)

  return {
    check,
    hidden: Effect.fnUntraced(function* (rows, upTo, gates) {
      yield* checkLayer(upTo)
      yield* check([], [gates])
      for (const [i, row] of rows.entries()) yield* Losses.checkTokens(name, shape, `row ${i}`, row)
      const residual = yield* forward.embed(rows, batchesOf(rows), gates)
      const [stream = residual] = yield* forward.advance([{ residual, gates }], upTo)
      return stream
    }),
    losses: Effect.fnUntraced(function* (examples, gates) {
      yield* check(examples, [gates])
      const rows = inputsOf(examples)
      const results = new Float64Array(examples.length)
      const kept = { states: 3, limit: budget.streams }
      for (const group of Residuals.groups(rows, batchesOf(rows), kept, shape)) {
        const residual = yield* forward.embed(rows, group, gates)
        const [stream = residual] = yield* forward.advance([{ residual, gates }], layers)
        const asked = Predictions.of(stream.batches, examples, hiddenSize)
        const [answers] = yield* head.logLikelihoods([{ asked, gates: gating.ofRest(gates) }])
        const losses = Predictions.losses(asked, answers!.logLikelihood, examples)
        yield* Losses.checkFinite(name, losses)
        for (const row of group.flat()) results[row] = losses[row] ?? Number.NaN
      }
      return results
    }),
  }
}
