/**
 * Answers requests that wait at the same time in one batch: many small ones cost little more than one.
 *
 * Whoever gets the turn answers for all who wait, up to a number of texts; the others find their answers done. Nothing
 * runs between requests, and a request keeps nothing but its texts while it waits.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"

interface Waiting<A, E> {
  readonly texts: ReadonlyArray<string>
  readonly done: Deferred.Deferred<ReadonlyArray<A>, E>
}

/** `answer` for several callers at once, at most `most` texts at a time unless one caller brings more. */
export const make = <A, E>(
  answer: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<A>, E>,
  most: number,
) => {
  const waiting: Array<Waiting<A, E>> = []
  const turn = Semaphore.makeUnsafe(1)
  const serve = Effect.gen(function* () {
    let texts = 0
    const taken: Array<Waiting<A, E>> = []
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      if (taken.length > 0 && texts + next.texts.length > most) break
      texts += next.texts.length
      taken.push(next)
      waiting.shift()
    }
    if (taken.length === 0) return
    const outcome = yield* Effect.exit(answer(taken.flatMap((one) => one.texts)))
    let at = 0
    for (const { done, texts: own } of taken) {
      const start = at
      at += own.length
      yield* Deferred.done(
        done,
        Exit.map(outcome, (answers) => answers.slice(start, start + own.length)),
      )
    }
  })
  return Effect.fnUntraced(function* (texts: ReadonlyArray<string>) {
    const done = yield* Deferred.make<ReadonlyArray<A>, E>()
    waiting.push({ texts, done })
    // A caller who goes away still answers those it took its turn for.
    yield* Effect.uninterruptible(turn.withPermit(serve))
    return yield* Deferred.await(done)
  })
}
