/**
 * A model that runs piece by piece within a memory budget: forward, from any layer on, and backward.
 *
 * Answers are those of a `CausalModel`, up to rounding; what differs is that its weights need not fit into memory, and
 * that a pass may be kept at a layer and gone on with under other gates. Every piece of the weights is loaded once for
 * everything that wants it, so work that comes together is done together. It writes no text: `CausalModel` does.
 */
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../Checkpoint.ts"
import type { Example } from "../Example.ts"
import * as Gates from "../Gates.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import * as Backward from "./Backward.ts"
import type { Budget } from "./Budget.ts"
import * as Forward from "./Forward.ts"
import * as Head from "./Head.ts"
import * as Predictions from "./Predictions.ts"
import type { Residual } from "./Residual.ts"
import * as Residuals from "./Residual.ts"

export interface BlockModel {
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  /** How the memory is spent. */
  readonly budget: Budget
  /** The residual stream of rows of tokens before layer `upTo`, 0…layers, with every gate at 1. */
  readonly hidden: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    upTo: number,
  ) => Effect.Effect<Residual, ModelError>
  /** The stream behind the last layer, from an earlier one. */
  readonly forwardFrom: (residual: Residual, gates: Gates.Gates) => Effect.Effect<Residual, ModelError>
  /**
   * The losses of examples under several settings of the gates, in nats, from the stream of their tokens but the last;
   * gates of layers before it have no effect.
   */
  readonly lossesFrom: (
    residual: Residual,
    examples: ReadonlyArray<Example>,
    settings: ReadonlyArray<Gates.Gates>,
  ) => Effect.Effect<ReadonlyArray<Float64Array>, ModelError>
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    options?: { readonly gates?: Gates.Gates },
  ) => Effect.Effect<Float64Array, ModelError>
  /** The loss of each example and its derivative with respect to the gates, by default where all are 1. */
  readonly gradients: (
    examples: ReadonlyArray<Example>,
    options?: { readonly gates?: Gates.Gates },
  ) => Effect.Effect<ReadonlyArray<Backward.GateGradient>, ModelError>
}

/** The model over its pieces. */
export const make = (parts: Forward.Parts): BlockModel => {
  const { checkpoint, name, pieces, runner, shape } = parts
  const { budget } = pieces
  const { hiddenSize, layers } = shape
  const forward = Forward.make(parts)
  const head = Head.make(shape, pieces, runner)
  const noGates = Gates.filled(shape, 1)
  const refuse = (problem: string) => Effect.fail(new ModelError({ model: name, problem, blame: "input" }))
  const check = Effect.fnUntraced(function* (
    examples: ReadonlyArray<Example>,
    settings: ReadonlyArray<Gates.Gates>,
  ) {
    yield* Losses.checkExamples(name, shape, examples)
    for (const gates of settings) {
      const problem = Gates.misfit(gates, shape)
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
  const inputsOf = (examples: ReadonlyArray<Example>) => examples.map(({ tokens }) => tokens.slice(0, -1))

  const answer = Effect.fnUntraced(function* (
    settings: ReadonlyArray<Forward.Setting>,
    examples: ReadonlyArray<Example>,
  ) {
    const streams = yield* forward.advance(settings, layers)
    return yield* Effect.forEach(
      streams,
      Effect.fnUntraced(function* ({ batches }) {
        const questions = Predictions.of(batches, examples, hiddenSize)
        const { logLikelihood } = yield* head.logLikelihoods(questions)
        const losses = Predictions.losses(questions, logLikelihood, examples)
        yield* Losses.checkFinite(name, losses)
        return losses
      }),
    )
  })

  return {
    checkpoint,
    shape,
    budget,
    hidden: Effect.fnUntraced(function* (rows, upTo) {
      if (!Number.isInteger(upTo) || upTo < 0 || upTo > layers) {
        return yield* refuse(`expected a layer of 0…${layers}, got ${upTo}`)
      }
      for (const [i, row] of rows.entries()) yield* Losses.checkTokens(name, shape, `row ${i}`, row)
      const residual = yield* forward.embed(rows, batchesOf(rows))
      const [stream = residual] = yield* forward.advance([{ residual, gates: noGates }], upTo)
      return stream
    }),
    forwardFrom: Effect.fnUntraced(function* (residual, gates) {
      yield* check([], [gates])
      const [stream = residual] = yield* forward.advance([{ residual, gates }], layers)
      return stream
    }),
    lossesFrom: Effect.fnUntraced(function* (residual, examples, settings) {
      yield* check(examples, settings)
      const inputs = inputsOf(examples)
      for (const { rows, tokens } of residual.batches) {
        const wrong = rows.findIndex((row, i) => String(inputs[row]) !== String(tokens[i]))
        if (wrong >= 0) {
          return yield* refuse(`row ${rows[wrong]} of the stream is not its example's tokens but the last`)
        }
      }
      return yield* answer(
        settings.map((gates) => ({ residual, gates })),
        examples,
      )
    }),
    losses: Effect.fnUntraced(function* (examples, { gates = noGates } = {}) {
      yield* check(examples, [gates])
      const rows = inputsOf(examples)
      const results = new Float64Array(examples.length)
      const kept = { states: 3, limit: budget.streams }
      for (const group of Residuals.groups(rows, batchesOf(rows), kept, shape)) {
        const residual = yield* forward.embed(rows, group)
        const [losses] = yield* answer([{ residual, gates }], examples)
        for (const row of group.flat()) results[row] = losses?.[row] ?? Number.NaN
      }
      return results
    }),
    gradients: Effect.fnUntraced(function* (examples, { gates = noGates } = {}) {
      yield* check(examples, [gates])
      return yield* Backward.gradients(parts, forward, head, examples, gates)
    }),
  }
}
