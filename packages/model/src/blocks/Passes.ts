/**
 * What any model that runs piece by piece does, whatever its gates: streams, and losses from them.
 */
import * as Effect from "effect/Effect"
import type { Example } from "../Example.ts"
import { ModelError } from "../ModelError.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Parts, Setting } from "./Forward.ts"
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
  /** The stream before layer `upTo` (default: behind the last), from an earlier one. */
  readonly forwardFrom: (residual: Residual, gates: G, upTo?: number) => Effect.Effect<Residual, ModelError>
  /**
   * The losses of examples under several settings of the gates, in nats, from the stream of their tokens but the last;
   * gates of layers before it have no effect. Every layer is loaded once for all settings.
   */
  readonly lossesFrom: (
    residual: Residual,
    examples: ReadonlyArray<Example>,
    settings: ReadonlyArray<G>,
  ) => Effect.Effect<ReadonlyArray<Float64Array>, ModelError>
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

  const answer = Effect.fnUntraced(function* (
    settings: ReadonlyArray<Setting<G>>,
    examples: ReadonlyArray<Example>,
  ) {
    const streams = yield* forward.advance(settings, layers)
    const all = streams.map(({ batches }, i) => ({
      asked: Predictions.of(batches, examples, hiddenSize),
      gates: gating.ofRest(settings[i]!.gates),
    }))
    const answers = yield* head.logLikelihoods(all)
    const results = all.map(({ asked }, i) => Predictions.losses(asked, answers[i]!.logLikelihood, examples))
    for (const losses of results) yield* Losses.checkFinite(name, losses)
    return results
  })

  /** As `answer`, for streams and gates of the caller's. */
  const lossesAt = Effect.fnUntraced(function* (
    settings: ReadonlyArray<Setting<G>>,
    examples: ReadonlyArray<Example>,
  ) {
    yield* check(
      examples,
      settings.map(({ gates }) => gates),
    )
    const inputs = inputsOf(examples).map(String)
    for (const { rows, tokens } of new Set(settings.flatMap(({ residual }) => residual.batches))) {
      const wrong = rows.find((row, i) => inputs[row] !== String(tokens[i]))
      if (wrong !== undefined) {
        return yield* refuse(`row ${wrong} of the stream is not its example's tokens but the last`)
      }
    }
    return yield* answer(settings, examples)
  })

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
    forwardFrom: Effect.fnUntraced(function* (residual, gates, upTo = layers) {
      yield* checkLayer(upTo)
      yield* check([], [gates])
      const [stream = residual] = yield* forward.advance([{ residual, gates }], upTo)
      return stream
    }),
    lossesFrom: (residual, examples, settings) =>
      lossesAt(
        settings.map((gates) => ({ residual, gates })),
        examples,
      ),
    losses: Effect.fnUntraced(function* (examples, gates) {
      yield* check(examples, [gates])
      const rows = inputsOf(examples)
      const results = new Float64Array(examples.length)
      const kept = { states: 3, limit: budget.streams }
      for (const group of Residuals.groups(rows, batchesOf(rows), kept, shape)) {
        const residual = yield* forward.embed(rows, group, gates)
        const [losses] = yield* answer([{ residual, gates }], examples)
        for (const row of group.flat()) results[row] = losses?.[row] ?? Number.NaN
      }
      return results
    }),
  }
}
