/**
 * Runs whose outputs are added up: a wave at a time, taken in the order of the batches.
 *
 * Sums are then the same whichever worker is first, and the outputs of one wave at most are in memory.
 */
import * as Effect from "effect/Effect"

/** Runs batches, `width` ≥ 1 of them at the same time, and gives what each returns to `add` in their order. */
export const inOrder = Effect.fnUntraced(function* <B, A, E, R>(
  batches: ReadonlyArray<B>,
  width: number,
  run: (batch: B) => Effect.Effect<A, E, R>,
  add: (result: A) => void,
): Effect.fn.Return<void, E, R> {
  for (let from = 0; from < batches.length; from += width) {
    const wave = batches.slice(from, from + width)
    for (const result of yield* Effect.forEach(wave, run, { concurrency: width })) add(result)
  }
})
