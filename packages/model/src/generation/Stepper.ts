/**
 * Steppers: a batch of sequences that goes on by one token per step, over a key-value cache.
 *
 * What comes out of a step is either the most likely next token of each row, or each row's logits. Which token is taken
 * is decided elsewhere, so one stepper may stand for a model or for several whose logits are combined.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import { float32 } from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { Lease } from "../runtime/WorkerPool.ts"

/** The most likely next token of each row. */
export interface Next {
  readonly next: ReadonlyArray<number>
}

/** The logits of each row's next token, [rows, vocabulary]. */
export interface Logits {
  readonly logits: Float32Array
}

export interface Stepper<out O extends Next | Logits> {
  /** Reads prompts, one row each. */
  readonly start: (prompts: ReadonlyArray<ReadonlyArray<number>>) => Effect.Effect<O, ModelError>
  /** New rows: row i is row `from[i]` of the last step, which may stand there more than once, with `tokens[i]` added. */
  readonly next: (tokens: ReadonlyArray<number>, from: ReadonlyArray<number>) => Effect.Effect<O, ModelError>
}

/** What a stepper of a model needs to know. */
export interface Options {
  readonly model: string
  readonly shape: ModelShape
  /** Inputs beyond the decoder's own; made anew for every run, since buffers are handed over. */
  readonly extra: () => Tensors
}

/** The error for a model whose outputs are NaN or infinite. */
export const notFinite = (model: string): ModelError =>
  new ModelError({
    model,
    problem:
      "the next-token distribution is not finite: the weights hold NaN or infinite values, or overflow in float32",
    blame: "input",
  })

/** Keys and values of every layer, as a run leaves them and as the next one takes them. */
export const keepPresent = (layers: number): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Array.from({ length: layers }, (_, l) => [
      [`present.${l}.key`, `past.${l}.key`],
      [`present.${l}.value`, `past.${l}.value`],
    ]).flat(),
  )

interface Row {
  /** Positions of the cached keys, padding as `unseen`. */
  readonly keys: ReadonlyArray<number>
  /** The position of the next token. */
  readonly position: number
}

/** A stepper over one session; `read` takes its outputs from what the graph returned. */
const make = <O extends Next | Logits>(
  lease: Lease,
  { extra, shape }: Options,
  fetches: ReadonlyArray<string>,
  read: (outputs: Tensors) => Effect.Effect<O, ModelError>,
): Stepper<O> => {
  const keep = keepPresent(shape.layers.length)
  let rows: ReadonlyArray<Row> = []
  return {
    start: (prompts) =>
      Effect.suspend(() => {
        const width = Math.max(...prompts.map(({ length }) => length))
        rows = prompts.map((prompt) => ({
          keys: [...Array<number>(width - prompt.length).fill(Batches.unseen), ...prompt.keys()],
          position: prompt.length,
        }))
        const last = prompts.map((prompt, sequence) => ({ sequence, position: prompt.length - 1, target: 0 }))
        const inputs = {
          ...Batches.feeds(prompts, last, "left"),
          ...Batches.emptyPast(shape, prompts.length),
        }
        return Effect.flatMap(lease.run({ ...inputs, ...extra() }, fetches, { keep }), read)
      }),
    next: (tokens, from) =>
      Effect.suspend(() => {
        const same = from.length === rows.length && from.every((row, i) => row === i)
        const previous = from.map((row) => at(rows, row))
        rows = previous.map(({ keys, position }) => ({ keys: [...keys, position], position: position + 1 }))
        const size = rows.length
        const positions = Int32Array.from(previous, ({ position }) => position)
        const keyPositions = Int32Array.from(rows.flatMap(({ keys }) => keys))
        const inputs = {
          tokens: Batches.int32(Int32Array.from(tokens), [size, 1]),
          positions: Batches.int32(positions, [size, 1]),
          keyPositions: Batches.int32(keyPositions, [size, keyPositions.length / size]),
          rows: Batches.int32(Int32Array.from(rows.keys()), [size]),
          targets: Batches.int32(new Int32Array(size), [size]),
        }
        const cache = same ? { keep } : { keep, select: from }
        return Effect.flatMap(lease.run({ ...inputs, ...extra() }, fetches, cache), read)
      }),
  }
}

/** A stepper that gives the most likely token of each row, found in the graph: no logits leave the worker. */
export const greedy = (lease: Lease, options: Options): Stepper<Next> =>
  make(lease, options, ["next", "logLikelihood"], ({ logLikelihood, next }) =>
    float32(logLikelihood).every((value) => Number.isFinite(value))
      ? Effect.succeed({ next: Array.from(next?.data ?? [], Number) })
      : Effect.fail(notFinite(options.model)),
  )

/** A stepper that gives the logits of each row. */
export const logits = (lease: Lease, options: Options): Stepper<Logits> =>
  make(lease, options, ["logits"], ({ logits: all }) => Effect.succeed({ logits: float32(all) }))
