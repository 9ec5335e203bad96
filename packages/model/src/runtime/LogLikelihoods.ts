/**
 * Log-likelihoods of given continuations, and whether each is what the model would write greedily.
 *
 * Rows that differ in their last token alone share one forward pass: the choices A, B, C and D of a question cost one
 * pass and four rows of the output head. Sums are taken in float64. Nothing is sampled here.
 */
import * as Effect from "effect/Effect"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../ModelShape.ts"
import * as Batches from "./Batches.ts"
import * as Losses from "./Losses.ts"
import type { Tensors } from "./Protocol.ts"
import type { OpenProgram } from "./WorkerPool.ts"

/** Tokens of a context and its continuation; the continuation is `tokens[contextLength..]`. */
export interface Continued {
  readonly tokens: ReadonlyArray<number>
  /** Tokens of context, 1…tokens.length - 1. */
  readonly contextLength: number
}

/** How likely a continuation is. */
export interface LogLikelihood {
  /** Sum of log p(token) over the continuation, in nats. */
  readonly sum: number
  /** Whether every token of the continuation is the most likely one at its place. */
  readonly isGreedy: boolean
}

/** A forward pass and the rows it answers: their places in the list, and where each continuation begins. */
interface Pass {
  readonly input: ReadonlyArray<number>
  readonly rows: Array<{ readonly index: number; readonly contextLength: number; readonly last: number }>
  wanted: number
}

const passesOf = (rows: ReadonlyArray<Continued>): ReadonlyArray<Pass> => {
  const passes = new Map<string, Pass>()
  for (const [index, { contextLength, tokens }] of rows.entries()) {
    const input = tokens.slice(0, -1)
    const key = input.join(" ")
    const pass = passes.get(key) ?? { input, rows: [], wanted: 0 }
    passes.set(key, pass)
    pass.rows.push({ index, contextLength, last: tokens.at(-1) ?? 0 })
    pass.wanted += tokens.length - contextLength
  }
  return [...passes.values()]
}

/** Scores rows; `extra` gives the inputs beyond the decoder's own for a batch of that size. */
export const logLikelihoods = Effect.fnUntraced(function* (
  model: string,
  shape: ModelShape,
  program: OpenProgram,
  rows: ReadonlyArray<Continued>,
  extra: (batch: number) => Tensors,
): Effect.fn.Return<ReadonlyArray<LogLikelihood>, ModelError> {
  for (const [i, { contextLength, tokens }] of rows.entries()) {
    // The last token is predicted, never read, so it needs no position.
    yield* Losses.checkTokens(model, shape, `row ${i}`, tokens.slice(0, -1))
    yield* Losses.checkTokens(model, shape, `row ${i}`, tokens.slice(-1))
    if (!Number.isInteger(contextLength) || contextLength < 1 || contextLength >= tokens.length) {
      return yield* new ModelError({
        model,
        problem: `row ${i}: expected a context of 1…${tokens.length - 1} of its ${tokens.length} tokens, got ${contextLength}`,
        blame: "input",
      })
    }
  }
  const passes = passesOf(rows)
  const results: Array<LogLikelihood> = rows.map(() => ({ sum: Number.NaN, isGreedy: false }))
  const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
    const selected = batch.flatMap((i) => passes[i] ?? [])
    const asked = selected.flatMap(({ input, rows: own }, sequence) =>
      own.flatMap(({ contextLength, last }) =>
        [...input.slice(contextLength), last].map((target, i) => ({
          sequence,
          position: contextLength - 1 + i,
          target,
        })),
      ),
    )
    const inputs = selected.map(({ input }) => input)
    const feeds = { ...Batches.feeds(inputs, asked, "right"), ...extra(batch.length) }
    const outputs = yield* program.lease((lease) => lease.run(feeds, ["logLikelihood", "next"]))
    const logLikelihood = Losses.float32(outputs["logLikelihood"])
    const next = outputs["next"]?.data
    let at = 0
    for (const { input, rows: own } of selected) {
      for (const { contextLength, index } of own) {
        let sum = 0
        let isGreedy = true
        for (const end = at + input.length + 1 - contextLength; at < end; at++) {
          sum += logLikelihood[at] ?? Number.NaN
          isGreedy &&= Number(next?.[at]) === asked[at]?.target
        }
        results[index] = { sum, isGreedy }
      }
    }
  })
  const extents = passes.map(({ input, wanted }) => ({
    length: input.length,
    total: input.length,
    rows: wanted,
  }))
  yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
  const wrong = results.findIndex(({ sum }) => !Number.isFinite(sum))
  if (wrong >= 0) {
    return yield* new ModelError({
      model,
      problem: `the log-likelihood of row ${wrong} is ${results[wrong]?.sum}: the weights hold NaN or infinite values, or overflow in float32`,
      blame: "input",
    })
  }
  return results
})
