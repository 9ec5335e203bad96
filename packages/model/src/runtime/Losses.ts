/**
 * Losses of examples on any graph that has the decoder's inputs: mean negative log-likelihood over the response.
 *
 * Only the log-likelihood of each response token leaves the worker; the mean is taken in float64.
 */
import { at, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape, Stack } from "../architectures/ModelShape.ts"
import * as Batches from "./Batches.ts"
import type { Tensor, Tensors } from "./Protocol.ts"
import type { OpenProgram } from "./WorkerPool.ts"

/** The numbers of an f32 output. */
export const float32 = (tensor: Tensor | undefined): Float32Array =>
  tensor?.type === "float32" ? tensor.data : new Float32Array(0)

/** Checks that tokens are a non-empty sequence of vocabulary entries that fits into the model's positions. */
export const checkTokens = (
  model: string,
  shape: Stack,
  what: string,
  tokens: ReadonlyArray<number>,
): Effect.Effect<void, ModelError> => {
  const refuse = (problem: string) =>
    Effect.fail(new ModelError({ model, problem: `${what}: ${problem}`, blame: "input" }))
  if (tokens.length === 0) return refuse("expected at least one token, got none")
  if (tokens.length > shape.maxPositions) {
    return refuse(
      `expected at most ${shape.maxPositions} tokens (the model's positions), got ${tokens.length}`,
    )
  }
  const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= shape.vocabSize)
  return wrong === undefined
    ? Effect.void
    : refuse(`expected tokens in 0…${shape.vocabSize - 1}, got ${wrong}; is it another model's tokenizer?`)
}

/** Checks that every example has tokens of the model, a prompt and a response. */
export const checkExamples = Effect.fnUntraced(function* (
  model: string,
  shape: Stack,
  examples: ReadonlyArray<Example>,
): Effect.fn.Return<void, ModelError> {
  for (const [i, { promptLength, tokens }] of examples.entries()) {
    yield* checkTokens(model, shape, `example ${i}`, tokens)
    if (!Number.isInteger(promptLength) || promptLength < 1 || promptLength >= tokens.length) {
      return yield* new ModelError({
        model,
        problem: `example ${i}: expected a prompt of 1…${tokens.length - 1} of its ${tokens.length} tokens, got ${promptLength}`,
        blame: "input",
      })
    }
  }
})

/** Checks that every loss is a number. */
export const checkFinite = (model: string, losses: Float64Array): Effect.Effect<void, ModelError> => {
  const wrong = losses.findIndex((loss) => !Number.isFinite(loss))
  return wrong < 0
    ? Effect.void
    : Effect.fail(
        new ModelError({
          model,
          problem: `the loss of example ${wrong} is ${losses[wrong]}: the weights hold NaN or infinite values, or overflow in float32`,
          blame: "input",
        }),
      )
}

/** What a batch has to hold for each example. */
export const extents = (examples: ReadonlyArray<Example>): ReadonlyArray<Batches.Extent> =>
  examples.map(({ promptLength, tokens }) => ({
    length: tokens.length - 1,
    total: tokens.length - 1,
    rows: tokens.length - promptLength,
  }))

/** A batch of examples as inputs; one row per response token, example by example. */
export const feeds = (batch: ReadonlyArray<Example>): Tensors => {
  // The logits at a position predict the token after it; the last token predicts nothing and is not computed.
  const rows = batch.flatMap(({ promptLength, tokens }, sequence) =>
    tokens.slice(promptLength).map((target, i) => ({ sequence, position: promptLength - 1 + i, target })),
  )
  const inputs = batch.map(({ tokens }) => tokens.slice(0, -1))
  return Batches.feeds(inputs, rows, "right")
}

/** The loss of each example of a batch from the log-likelihoods of its rows. */
export const ofRows = (batch: ReadonlyArray<Example>, logLikelihood: Float32Array): Float64Array => {
  let at = 0
  return Float64Array.from(batch, ({ promptLength, tokens }) => {
    const count = tokens.length - promptLength
    let sum = 0
    for (const end = at + count; at < end; at++) sum -= known(logLikelihood[at])
    return sum / count
  })
}

/** The losses of examples, in nats; `extra` gives the inputs beyond the decoder's own for a batch of that size. */
export const losses = Effect.fnUntraced(function* (
  model: string,
  shape: ModelShape,
  program: OpenProgram,
  examples: ReadonlyArray<Example>,
  extra: (batch: number) => Tensors,
): Effect.fn.Return<Float64Array, ModelError> {
  yield* checkExamples(model, shape, examples)
  const results = new Float64Array(examples.length)
  const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
    const selected = batch.map((i) => at(examples, i))
    const inputs = { ...feeds(selected), ...extra(batch.length) }
    const outputs = yield* program.lease((lease) => lease.run(inputs, ["logLikelihood"]))
    ofRows(selected, float32(outputs["logLikelihood"])).forEach(
      (loss, i) => (results[known(batch[i])] = loss),
    )
  })
  yield* Effect.forEach(Batches.plan(shape, extents(examples)), run, {
    concurrency: program.width,
    discard: true,
  })
  yield* checkFinite(model, results)
  return results
})
