/**
 * Runs graphs that return the gradient of a loss: makes batches, feeds the objective's coefficients, hands back what
 * the graph computed. What is differentiated is the graph's matter; nothing here knows of gates or weights.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"

/** Bytes of activations of one run at most, unless one example alone needs more. */
const maxBytes = 256 * 2 ** 20

/** A batch that has run: which examples, and the outputs by name. */
export interface Done {
  readonly batch: ReadonlyArray<number>
  readonly output: (name: string) => Float32Array
}

export interface Options {
  /** Stands for the model in errors. */
  readonly model: string
  readonly shape: ModelShape
  /** A graph with the inputs of a decoder and of `lossGradients`. */
  readonly program: OpenProgram
  readonly examples: ReadonlyArray<Example>
  /** Which examples run together. */
  readonly batches: ReadonlyArray<ReadonlyArray<number>>
  /** The objective of a batch is the sum of its examples' losses times this. */
  readonly scale: number
  /** The inputs beyond those, fresh for every run. */
  readonly extra: () => Tensors
  /** The outputs to fetch beside the log-likelihood. */
  readonly fetches: ReadonlyArray<string>
}

/** Every example by itself: gradients of one example's loss. */
export const alone = (examples: ReadonlyArray<Example>): ReadonlyArray<ReadonlyArray<number>> =>
  examples.map((_, i) => [i])

/** As many examples at once as the activations of all layers leave room for: gradients of a sum of losses. */
export const together = (
  shape: ModelShape,
  examples: ReadonlyArray<Example>,
): ReadonlyArray<ReadonlyArray<number>> =>
  Batches.plan(shape, Losses.extents(examples), maxBytes / shape.layers.length)

/** Runs every batch and gives each to `done`; returns the loss of every example, in nats. */
export const run = Effect.fnUntraced(function* (
  { batches, examples, extra, fetches, model, program, scale, shape }: Options,
  done: (result: Done) => void,
): Effect.fn.Return<Float64Array, ModelError> {
  yield* Losses.checkExamples(model, shape, examples)
  const losses = new Float64Array(examples.length)
  const one = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
    const selected = batch.map((i) => at(examples, i))
    const coefficients = Float32Array.from(
      selected.flatMap(({ promptLength, tokens }) => {
        const count = tokens.length - promptLength
        return Array.from<number>({ length: count }).fill(-scale / count)
      }),
    )
    const inputs = {
      ...Losses.feeds(selected),
      ...extra(),
      coefficients: Batches.float32(coefficients, [coefficients.length]),
    }
    const outputs = yield* program.lease((lease) => lease.run(inputs, ["logLikelihood", ...fetches]))
    const output = (name: string) => Losses.float32(outputs[name])
    Losses.ofRows(selected, output("logLikelihood")).forEach((loss, i) => (losses[at(batch, i)] = loss))
    done({ batch, output })
  })
  yield* Effect.forEach(batches, one, { concurrency: program.width, discard: true })
  yield* Losses.checkFinite(model, losses)
  return losses
})
