/**
 * Decoding: step after step until every sequence has ended.
 *
 * A sequence ends with an end-of-sequence token, with a stop token or a stop string, or at its limit. Samples of one
 * prompt share its first step; ended sequences leave the batch once they are half of it.
 */
import { at, known, last } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Continuation, End } from "./Generation.ts"
import type { ModelError } from "../ModelError.ts"
import * as Random from "./Random.ts"
import type { Logits, Next, Stepper } from "./Stepper.ts"
import { notFinite } from "./Stepper.ts"
import type { StopTest } from "./Text.ts"

/** A sequence to write. */
export interface Request {
  readonly prompt: ReadonlyArray<number>
  /** Requests with the same number have the same prompt. */
  readonly source: number
  /** Which numbers it draws. */
  readonly key: Random.Key
}

/** A sequence as it grows. */
export interface Sequence extends Request {
  readonly response: Array<number>
  /** Of the tokens of the response, where they are known. */
  readonly logProbabilities: Array<number>
  end: End | undefined
}

/** A token taken, with its log-probability in nats where that is known. */
export interface Choice {
  readonly token: number
  readonly logProbability: number | undefined
}

/** Takes a token from a row of a step's outputs; undefined where they are not finite. */
export type Choose<in O> = (outputs: O, row: number, sequence: Sequence) => Choice | undefined

export interface Options {
  readonly model: string
  /** New tokens at most. */
  readonly maxTokens: number
  readonly eos: ReadonlySet<number>
  readonly stopTokens: ReadonlySet<number>
  readonly stopped: StopTest
  /** Told of every token. */
  readonly chosen: (sequence: Sequence) => Effect.Effect<void, ModelError>
}

/** Writes a continuation for each request, in order. */
export const run = Effect.fnUntraced(function* <O extends Next | Logits>(
  stepper: Stepper<O>,
  requests: ReadonlyArray<Request>,
  { chosen, eos, maxTokens, model, stopTokens, stopped }: Options,
  choose: Choose<O>,
): Effect.fn.Return<ReadonlyArray<Continuation>, ModelError> {
  const sequences = requests.map((request): Sequence => ({
    ...request,
    response: [],
    logProbabilities: [],
    end: undefined,
  }))
  const sources = [...new Set(requests.map(({ source }) => source))]
  const firstOf = sources.map((source) => known(sequences.find((sequence) => sequence.source === source)))

  let batch = sequences
  let rows = sequences.map(({ source }) => sources.indexOf(source))
  let outputs = yield* stepper.start(firstOf.map((sequence) => sequence.prompt))
  for (;;) {
    const written: Array<Sequence> = []
    for (const [i, sequence] of batch.entries()) {
      if (sequence.end !== undefined) continue
      const choice = choose(outputs, known(rows[i]), sequence)
      if (choice === undefined) return yield* notFinite(model)
      const { logProbability, token } = choice
      const { response } = sequence
      response.push(token)
      if (logProbability !== undefined) sequence.logProbabilities.push(logProbability)
      if (eos.has(token)) sequence.end = "eos"
      else if (stopTokens.has(token)) sequence.end = "stop"
      written.push(sequence)
    }
    const open = written.filter(({ end }) => end === undefined)
    const complete = yield* stopped(open.map(({ response }) => response))
    for (const [i, sequence] of open.entries()) {
      if (complete[i] === true) sequence.end = "stop"
      else if (sequence.response.length >= maxTokens) sequence.end = "length"
    }
    for (const sequence of written) yield* chosen(sequence)
    const running = [...batch.keys()].filter((i) => at(batch, i).end === undefined)
    if (running.length === 0) break
    // An ended sequence goes on with its last token until it leaves; what comes of that is not read.
    const stay = running.length * 2 <= batch.length ? running : [...batch.keys()]
    const from = stay.map((i) => known(rows[i]))
    batch = stay.map((i) => at(batch, i))
    outputs = yield* stepper.next(
      batch.map(({ response }) => last(response)),
      from,
    )
    rows = [...batch.keys()]
  }
  return sequences.map(({ end = "length", logProbabilities, response }): Continuation => ({
    tokens: response,
    end,
    ...(logProbabilities.length === 0 ? {} : { logProbabilities }),
  }))
})
