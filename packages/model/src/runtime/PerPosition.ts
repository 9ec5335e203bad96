/**
 * An output of a graph at every position of every row: logits, hidden states.
 *
 * Rows are batched by length, and padding never leaves the worker.
 */
import { known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { ModelError } from "../ModelError.ts"
import type { Stack } from "../architectures/ModelShape.ts"
import * as Batches from "./Batches.ts"
import * as Losses from "./Losses.ts"
import type { Tensors } from "./Protocol.ts"
import type { OpenProgram } from "./WorkerPool.ts"

export interface Options {
  /** Stands for the model in errors. */
  readonly model: string
  readonly shape: Stack
  readonly program: OpenProgram
  /** The graph's output, and its numbers per position. */
  readonly output: string
  readonly width: number
  /** Inputs beyond the rows' own for a batch of these rows. */
  readonly extra: (rows: ReadonlyArray<ReadonlyArray<number>>) => Tensors
}

/** The output for each row of tokens, [length, width]. */
export const read = Effect.fnUntraced(function* (
  rows: ReadonlyArray<ReadonlyArray<number>>,
  { extra, model, output, program, shape, width }: Options,
): Effect.fn.Return<ReadonlyArray<Float32Array>, ModelError> {
  for (const [i, row] of rows.entries()) yield* Losses.checkTokens(model, shape, `row ${i}`, row)
  const extents = rows.map(({ length }) => ({ length, total: length, rows: length }))
  const results: Array<Float32Array> = rows.map(() => new Float32Array(0))
  const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
    const sequences = batch.map((i) => known(rows[i]))
    const wanted = sequences.flatMap((tokens, sequence) =>
      [...tokens.keys()].map((position) => ({ sequence, position, target: 0 })),
    )
    const feeds = { ...Batches.feeds(sequences, wanted, "right"), ...extra(sequences) }
    const outputs = yield* program.lease((lease) => lease.run(feeds, [output]))
    const all = Losses.float32(outputs[output])
    let at = 0
    batch.forEach((index, i) => {
      const size = known(sequences[i]).length * width
      results[index] = all.slice(at, at + size)
      at += size
    })
  })
  yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
  return results
})
