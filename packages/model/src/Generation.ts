/**
 * Greedy generation: the most likely token, again and again, in batches over a key-value cache.
 *
 * A sequence ends with an end-of-sequence token, with a stop string in its text, or at its token limit. Ended
 * sequences leave the batch once they are half of it. Sampling is not done here.
 */
import * as Effect from "effect/Effect"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import type { Lease } from "./runtime/WorkerPool.ts"
import type { Tensors } from "./runtime/Protocol.ts"
import type { Tokenizer } from "./Tokenizer.ts"

/** Why a generation ended: an end-of-sequence token, a stop string, or the limit on tokens. */
export type End = "eos" | "stop" | "length"

/** What a model wrote. An EOS token, and the token that completes a stop string, are the last of `tokens`. */
export interface Generation {
  readonly prompt: string
  /** The decoded response, without special tokens; a stop string is its end, what its last token adds is cut. */
  readonly response: string
  /** Prompt tokens, then response tokens. */
  readonly tokens: ReadonlyArray<number>
  readonly promptLength: number
  readonly end: End
}

/** A continuation as tokens alone. */
export interface Continuation {
  readonly tokens: ReadonlyArray<number>
  readonly end: End
}

export interface DecodeOptions {
  readonly model: string
  readonly shape: ModelShape
  readonly maxTokens: number
  readonly eos: ReadonlySet<number>
  /** Whether a response (its tokens so far) is complete by its text. */
  readonly stopped: (response: ReadonlyArray<number>) => boolean
  /** Gate inputs; made anew for every run, since buffers are handed over. */
  readonly gates: () => Tensors
}

interface Sequence {
  readonly prompt: ReadonlyArray<number>
  readonly response: Array<number>
  /** Positions of the cached keys, padding as `unseen`. */
  readonly keys: Array<number>
  end: End | undefined
}

const keepPresent = (layers: number): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Array.from({ length: layers }, (_, l) => [
      [`present.${l}.key`, `past.${l}.key`],
      [`present.${l}.value`, `past.${l}.value`],
    ]).flat(),
  )

/** Continues a batch of prompts greedily on one session; a continuation per prompt, in order. */
export const decodeBatch = Effect.fnUntraced(function* (
  lease: Lease,
  prompts: ReadonlyArray<ReadonlyArray<number>>,
  { eos, gates, maxTokens, model, shape, stopped }: DecodeOptions,
): Effect.fn.Return<ReadonlyArray<Continuation>, ModelError> {
  const keep = keepPresent(shape.layers)
  const width = Math.max(...prompts.map((p) => p.length))
  const sequences = prompts.map((prompt): Sequence => ({
    prompt,
    response: [],
    keys: [...Array<number>(width - prompt.length).fill(Batches.unseen), ...prompt.keys()],
    end: undefined,
  }))

  const step = Effect.fnUntraced(function* (
    batch: ReadonlyArray<Sequence>,
    inputs: Tensors,
    select: ReadonlyArray<number> | undefined,
  ) {
    const use = { keep, ...(select === undefined ? {} : { select }) }
    const outputs = yield* lease.run({ ...inputs, ...gates() }, ["next", "logLikelihood"], use)
    const logLikelihood = outputs["logLikelihood"]?.data
    batch.forEach((sequence, i) => {
      if (sequence.end !== undefined) return
      const token = Number(outputs["next"]?.data[i])
      sequence.response.push(token)
      if (eos.has(token)) sequence.end = "eos"
      else if (stopped(sequence.response)) sequence.end = "stop"
      else if (sequence.response.length >= maxTokens) sequence.end = "length"
    })
    if (logLikelihood?.some((value) => !Number.isFinite(Number(value))) === true) {
      return yield* notFinite(model, "the next-token distribution")
    }
  })

  const last = prompts.map((prompt, i) => ({ sequence: i, position: prompt.length - 1, target: 0 }))
  yield* step(
    sequences,
    { ...Batches.feeds(prompts, last, "left"), ...Batches.emptyPast(shape, prompts.length) },
    undefined,
  )

  let batch: ReadonlyArray<Sequence> = sequences
  while (batch.some(({ end }) => end === undefined)) {
    const running = [...batch.keys()].filter((i) => batch[i]?.end === undefined)
    const select = running.length * 2 <= batch.length ? running : undefined
    if (select !== undefined) batch = batch.filter(({ end }) => end === undefined)
    const tokens = Int32Array.from(batch, ({ response }) => response.at(-1) ?? 0)
    const positions = Int32Array.from(batch, ({ prompt, response }) => prompt.length + response.length - 1)
    // An ended sequence repeats its last position until it leaves the batch; its tokens are not read.
    batch.forEach(({ keys }, i) => keys.push(positions[i] ?? 0))
    const total = batch[0]?.keys.length ?? 0
    const size = batch.length
    const inputs: Tensors = {
      tokens: Batches.int32(tokens, [size, 1]),
      positions: Batches.int32(positions, [size, 1]),
      keyPositions: Batches.int32(Int32Array.from(batch.flatMap(({ keys }) => keys)), [size, total]),
      rows: Batches.int32(Int32Array.from(batch.keys()), [size]),
      targets: Batches.int32(new Int32Array(size), [size]),
    }
    yield* step(batch, inputs, select)
  }
  return sequences.map(({ end, response }) => ({ tokens: response, end: end ?? "length" }))
})

/** The error for a model whose outputs are NaN or infinite. */
export const notFinite = (model: string, what: string): ModelError =>
  new ModelError({
    model,
    problem: `${what} is not finite: the weights hold NaN or infinite values, or overflow in float32`,
    blame: "input",
  })

/**
 * A test for stop strings that decodes only the end of a response: as many tokens as the longest stop string has
 * bytes (a token is at least one), and a few more for tokens without text.
 */
export const stopTest = (
  tokenizer: Tokenizer,
  stop: ReadonlyArray<string>,
): ((response: ReadonlyArray<number>) => boolean) => {
  if (stop.length === 0) return () => false
  const window = Math.max(...stop.map((s) => new TextEncoder().encode(s).length)) + 8
  return (response) => {
    const tail = tokenizer.decode(response.slice(-window), { skipSpecial: true })
    return stop.some((s) => tail.includes(s))
  }
}

/** The response text of a continuation, cut after the first stop string. */
export const responseText = (
  tokenizer: Tokenizer,
  { end, tokens }: Continuation,
  stop: ReadonlyArray<string>,
): string => {
  const text = tokenizer.decode(tokens, { skipSpecial: true })
  if (end !== "stop") return text
  const ends = stop.flatMap((s) => (text.includes(s) ? [text.indexOf(s) + s.length] : []))
  return text.slice(0, Math.min(text.length, ...ends))
}
