/**
 * Programs that take turns: one of several is open at a time, and another's turn closes it.
 *
 * For models whose work is a sequence of graphs, each over all or much of the weights: their sessions together would not
 * fit into memory.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ModelError } from "../ModelError.ts"
import type { OpenProgram } from "./WorkerPool.ts"

/**
 * Gives the program of a key, opened unless it is the one that is open; what is open closes with the scope. Whoever asks
 * has to be done with the last program: turns are not waited for.
 */
export const make = Effect.fnUntraced(function* <K>(
  open: (key: K) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>,
): Effect.fn.Return<(key: K) => Effect.Effect<OpenProgram, ModelError>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let turn: { readonly key: K; readonly program: OpenProgram; readonly own: Scope.Closeable } | undefined
  return Effect.fnUntraced(function* (key: K) {
    if (turn?.key === key) return turn.program
    const last = turn
    turn = undefined
    if (last !== undefined) yield* Scope.close(last.own, Exit.void)
    const own = yield* Scope.fork(scope)
    const program = yield* open(key).pipe(
      Effect.provideService(Scope.Scope, own),
      Effect.onError(() => Scope.close(own, Exit.void)),
    )
    turn = { key, program, own }
    return program
  })
})
