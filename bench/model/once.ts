/**
 * One measurement of `bench/model.ts`, in a process of its own: its report is a message to the parent.
 */
import { BlockModel, CausalModel, Checkpoint, type Example, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Tokens of a row of the forward measurements, and tokens written by the decoding ones. */
const length = 128
const written = 64

/** What a measurement found: seconds, tokens per second, bytes. */
export type Report = Readonly<Record<string, number>>

const [task = "", directory = "", memory = "0"] = process.argv.slice(2)

/** Tokens that look random, from the model's vocabulary and outside of its first, special ones. */
const tokens = (row: number, count: number, vocabulary: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => 16 + (((row + 1) * 7919 + i * 104_729) % (vocabulary - 16)))

const examples = (batch: number, vocabulary: number, count = length + 1): ReadonlyArray<Example.Example> =>
  Array.from({ length: batch }, (_, row) => ({
    prompt: "",
    response: "",
    tokens: tokens(row, count, vocabulary),
    promptLength: 1,
  }))

const seconds = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const begin = performance.now()
  const result = yield* effect
  return { result, seconds: (performance.now() - begin) / 1000 }
})

/** The fastest of several runs, after one that is not counted. */
const fastest = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>, times = 3) {
  yield* effect
  const runs = yield* Effect.forEach(Array.from({ length: times }), () => seconds(effect))
  return runs.reduce((best, run) => (run.seconds < best.seconds ? run : best))
})

/** The whole graph: opening, forward, decoding over the cache, and the same text with every step from the start. */
const whole = Effect.gen(function* () {
  const checkpoint = yield* Checkpoint.open(directory)
  const opened = yield* seconds(CausalModel.open(checkpoint))
  const model = opened.result
  const { vocabSize } = model.shape
  const forward = yield* Effect.forEach([1, 8], (batch) => fastest(model.losses(examples(batch, vocabSize))))
  const decode = yield* Effect.forEach([1, 8], (batch) => {
    const prompts = Array.from({ length: batch }, (_, row) => tokens(row, 16, vocabSize))
    return Effect.map(fastest(model.continue(prompts, { maxTokens: written }), 2), (run) => ({
      ...run,
      tokens: run.result.reduce((sum, own) => sum + own.tokens.length, 0),
    }))
  })
  const one = decode[0]!
  const context = [...tokens(0, 16, vocabSize), ...one.result[0]!.tokens]
  const recomputed = yield* seconds(
    Effect.forEach(Array.from({ length: one.tokens }), (_, i) =>
      model.logLikelihoods([{ tokens: context.slice(0, 17 + i), contextLength: 16 + i }]),
    ),
  )
  return {
    open: opened.seconds,
    forward1: length / forward[0]!.seconds,
    forward8: (8 * length) / forward[1]!.seconds,
    decode1: one.tokens / one.seconds,
    decode8: decode[1]!.tokens / decode[1]!.seconds,
    cached: recomputed.seconds / one.seconds,
  }
})

/**
 * Block by block, a batch of eight, and then the whole graph and blocks in turns: a ratio of times that were taken one
 * after the other suffers least from what else the machine does. The peak is that of the blocks alone.
 */
const blocks = Effect.gen(function* () {
  const checkpoint = yield* Checkpoint.open(directory)
  const model = yield* BlockModel.open(checkpoint, { memory: Number(memory) })
  const rows = examples(8, model.shape.vocabSize)
  const run = yield* fastest(model.losses(rows))
  const peak = process.resourceUsage().maxRSS * 1024
  const other = yield* CausalModel.open(checkpoint)
  yield* other.losses(rows)
  const turns = yield* Effect.forEach(Array.from({ length: 5 }), () =>
    Effect.all([seconds(other.losses(rows)), seconds(model.losses(rows))]),
  )
  const [wholeSeconds, blockSeconds] = [0, 1].map((i) => Math.min(...turns.map((turn) => turn[i]!.seconds)))
  return {
    forward8: (8 * length) / run.seconds,
    resident: model.budget.resident.size,
    streamed: model.budget.slab > 0 ? 1 : 0,
    ratio: blockSeconds! / wholeSeconds!,
    peak,
  }
})

/** Forward, and forward with backward, on one sample of 64 tokens, of which the last 32 are the response. */
const gradient = Effect.gen(function* () {
  const checkpoint = yield* Checkpoint.open(directory)
  const opened = yield* seconds(BlockModel.open(checkpoint, { memory: Number(memory) }))
  const model = opened.result
  const sample = examples(1, model.shape.vocabSize, 64).map((own) => ({ ...own, promptLength: 32 }))
  const forward = yield* seconds(model.losses(sample))
  const both = yield* seconds(model.gradients(sample))
  return {
    parameters: Checkpoint.parameterCount(checkpoint),
    open: opened.seconds,
    forward: forward.seconds,
    gradient: both.seconds,
    resident: model.budget.resident.size,
    loss: forward.result[0]!,
    lossAgain: both.result[0]!.loss,
    largest: Math.max(...both.result[0]!.gates.heads.map(Math.abs)),
  }
})

const tasks: Readonly<
  Record<string, Effect.Effect<Report, { readonly message: string }, Runtime | Scope.Scope>>
> = { whole, blocks, gradient }

const report = await Effect.runPromise(
  (tasks[task] ?? Effect.fail({ message: `no measurement "${task}"` })).pipe(
    Effect.scoped,
    Effect.provide(Runtime.layerWith({ workers: 1 })),
  ),
)
process.send?.({ peak: process.resourceUsage().maxRSS * 1024, ...report })
