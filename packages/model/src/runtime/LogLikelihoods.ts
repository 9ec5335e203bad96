/**
 * Log-likelihoods of given continuations, and whether each is what the model would write greedily.
 *
 * Rows that differ in their last token alone share one forward pass: the choices A, B, C and D of a question cost one
 * pass and four rows of the output head. Longer continuations of one context share the context's pass, and follow it over
 * its key-value cache. Sums are taken in float64. Nothing is sampled here.
 */
import { at, entryOr, last } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Stepper from "../generation/Stepper.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
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
  /** Tokens before every continuation. */
  prefix: number
  wanted: number
}

const passesOf = (rows: ReadonlyArray<Continued>): ReadonlyArray<Pass> => {
  const passes = new Map<string, Pass>()
  for (const [index, { contextLength, tokens }] of rows.entries()) {
    const input = tokens.slice(0, -1)
    const key = input.join(" ")
    const pass = passes.get(key) ?? { input, rows: [], prefix: contextLength, wanted: 0 }
    passes.set(key, pass)
    pass.rows.push({ index, contextLength, last: last(tokens) })
    pass.prefix = Math.min(pass.prefix, contextLength)
    pass.wanted += tokens.length - contextLength
  }
  return [...passes.values()]
}

/** A token to be predicted: after which position of which pass, for which row. */
interface Asked {
  readonly pass: number
  readonly position: number
  readonly target: number
  readonly index: number
}

const askedOf = ({ input, rows }: Pass, pass: number): ReadonlyArray<Asked> =>
  rows.flatMap(({ contextLength, index, last }) =>
    [...input.slice(contextLength), last].map((target, i) => ({
      pass,
      position: contextLength - 1 + i,
      target,
      index,
    })),
  )

const contextKey = ({ input, prefix }: Pass): string => input.slice(0, prefix).join(" ")

/** Passes of a batch by their contexts, the context of each pass, and the tokens that need not be computed again. */
const contextsOf = (passes: ReadonlyArray<Pass>) => {
  const places = new Map<string, number>()
  const contexts: Array<ReadonlyArray<number>> = []
  let saved = 0
  const of = passes.map(({ input, prefix }) => {
    const context = input.slice(0, prefix)
    const key = context.join(" ")
    const place = places.get(key)
    if (place !== undefined) {
      saved += prefix
      return place
    }
    places.set(key, contexts.length)
    return contexts.push(context) - 1
  })
  return { contexts, of, saved }
}

/** Inputs that follow cached contexts, which were padded at the front: what is left of each pass, padded at its end. */
const following = (
  passes: ReadonlyArray<Pass>,
  contexts: ReadonlyArray<ReadonlyArray<number>>,
  of: ReadonlyArray<number>,
  asked: ReadonlyArray<Asked>,
): Tensors => {
  const past = Math.max(...contexts.map(({ length }) => length))
  const width = Math.max(...passes.map(({ input, prefix }) => input.length - prefix))
  const tokens = new Int32Array(passes.length * width) // [passes, width]
  const positions = new Int32Array(passes.length * width)
  const keys = new Int32Array(passes.length * (past + width)).fill(Batches.unseen)
  passes.forEach(({ input, prefix }, i) => {
    const rest = input.slice(prefix)
    const own = Int32Array.from(rest, (_, j) => prefix + j)
    tokens.set(rest, i * width)
    positions.set(own, i * width)
    const length = at(contexts, at(of, i)).length
    keys.set(
      Int32Array.from({ length }, (_, j) => j),
      i * (past + width) + past - length,
    )
    keys.set(own, i * (past + width) + past)
  })
  const place = (row: Asked) => row.pass * width + row.position - at(passes, row.pass).prefix
  return {
    tokens: Batches.int32(tokens, [passes.length, width]),
    positions: Batches.int32(positions, [passes.length, width]),
    keyPositions: Batches.int32(keys, [passes.length, past + width]),
    rows: Batches.int32(Int32Array.from(asked, place), [asked.length]),
    targets: Batches.int32(
      Int32Array.from(asked, ({ target }) => target),
      [asked.length],
    ),
  }
}

const fetches = ["logLikelihood", "next"]

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
  // Passes of one context stand side by side, and claim the room of the longest, so that they share a batch.
  const passes = [...Map.groupBy(passesOf(rows), contextKey).values()].flat()
  const sums = new Float64Array(rows.length)
  const greedy = rows.map(() => true)
  const read = (asked: ReadonlyArray<Asked>, outputs: Tensors) => {
    const logLikelihood = Losses.float32(outputs["logLikelihood"])
    const next = outputs["next"]?.data
    for (const [i, { index, target }] of asked.entries()) {
      sums[index] = at(sums, index) + at(logLikelihood, i)
      if (Number(next?.[i]) !== target) greedy[index] = false
    }
  }
  const run = (batch: ReadonlyArray<number>) =>
    program.lease(
      Effect.fnUntraced(function* (lease) {
        const selected = batch.map((i) => at(passes, i))
        const asked = selected.flatMap(askedOf)
        const { contexts, of, saved } = contextsOf(selected)
        const total = selected.reduce((sum, { input }) => sum + input.length, 0)
        if (saved * 4 < total) {
          const positions = asked.map((row) => ({ ...row, sequence: row.pass }))
          const inputs = selected.map(({ input }) => input)
          const feeds = { ...Batches.feeds(inputs, positions, "right"), ...extra(batch.length) }
          return read(asked, yield* lease.run(feeds, fetches))
        }
        // The contexts once, which predict the first token of each continuation; then what follows, over their cache.
        const isFirst = ({ pass, position }: Asked) => position < at(selected, pass).prefix
        const firsts = asked.filter(isFirst)
        const heads = firsts.map((row) => ({ ...row, sequence: at(of, row.pass) }))
        const feeds = { ...Batches.feeds(contexts, heads, "left"), ...extra(contexts.length) }
        read(firsts, yield* lease.run(feeds, fetches, { keep: Stepper.keepPresent(shape.layers.length) }))
        const longer = [...selected.keys()].filter(
          (i) => at(selected, i).input.length > at(selected, i).prefix,
        )
        if (longer.length === 0) return
        const rest = longer.map((i) => at(selected, i))
        const later = asked
          .filter((row) => !isFirst(row))
          .map((row) => ({ ...row, pass: longer.indexOf(row.pass) }))
        const select = longer.map((i) => at(of, i))
        const inputs = { ...following(rest, contexts, select, later), ...extra(rest.length) }
        read(later, yield* lease.run(inputs, fetches, { keep: {}, select }))
      }),
    )
  const longest = new Map<string, number>()
  for (const pass of passes) {
    const key = contextKey(pass)
    longest.set(key, Math.max(entryOr(longest, key, 0), pass.input.length))
  }
  const extents = passes.map((pass) => {
    const length = longest.get(contextKey(pass)) ?? pass.input.length
    return { length, total: length, rows: pass.wanted }
  })
  yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
  const wrong = sums.findIndex((sum) => !Number.isFinite(sum))
  if (wrong >= 0) {
    return yield* new ModelError({
      model,
      problem: `the log-likelihood of row ${wrong} is ${sums[wrong]}: the weights hold NaN or infinite values, or overflow in float32`,
      blame: "input",
    })
  }
  return rows.map((_, i) => ({ sum: at(sums, i), isGreedy: at(greedy, i) }))
})
