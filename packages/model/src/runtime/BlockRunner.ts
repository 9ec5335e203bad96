/**
 * A worker thread that runs a model piece by piece: sessions of graphs without weights, and slabs that weights pass
 * through.
 *
 * A piece is used by one caller at a time: its weights are loaded unless they are there already, then everything that
 * wants them runs, then the next piece may take their place. Which pieces stay is the caller's plan. When the thread
 * dies, what it was doing fails, and the next use starts again in a new thread.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { ModelError } from "../ModelError.ts"
import type { EncodedModel } from "../onnx/Encode.ts"
import { digest } from "./Digest.ts"
import * as Failure from "./Failure.ts"
import type { FedWeight, Tensors } from "./Protocol.ts"
import * as Thread from "./WorkerThread.ts"

/** Weights that are used together, and the slab they are loaded into. */
export interface Piece {
  /** Stands for the weights: a slab that holds this piece is not loaded again. */
  readonly name: string
  readonly slab: number
  /** Bytes of the slab; the same for every piece that passes through it. */
  readonly capacity: number
  readonly weights: ReadonlyArray<FedWeight>
}

/** Runs a graph on the weights of the piece in use. */
export type Run = (
  encoded: EncodedModel,
  feeds: Tensors,
  fetches: ReadonlyArray<string>,
) => Effect.Effect<Tensors, ModelError>

export interface BlockRunner {
  /** Loads a piece and uses it; others wait. */
  readonly use: <A, E, R>(
    piece: Piece,
    body: (run: Run) => Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | ModelError, R>
}

/** A runner whose thread starts with the first piece and ends with the scope. `model` stands for it in errors. */
export const make = Effect.fnUntraced(function* (
  model: string,
  threads: number,
  entry?: URL,
): Effect.fn.Return<BlockRunner, never, Scope.Scope> {
  const thread = Thread.make(entry)
  yield* Effect.addFinalizer(() => thread.stop)
  const lock = Semaphore.makeUnsafe(1)
  const digests = new WeakMap<EncodedModel, string>()
  let state = {
    generation: thread.generation(),
    sessions: new Map<string, number>(),
    slabs: new Map<number, string>(),
  }
  /** What the living thread has. */
  const current = () => {
    const generation = thread.generation()
    if (state.generation !== generation) state = { generation, sessions: new Map(), slabs: new Map() }
    return state
  }
  const request = (...[message]: Parameters<typeof thread.request>) =>
    Effect.mapError(thread.request(message), Failure.of(model))

  const unreadable = (problem: string) =>
    new ModelError({ model, problem: `its weights cannot be read: ${problem}`, blame: "input" })

  /** Not interrupted: a session that nobody had noted would stay in the worker. */
  const sessionOf = Effect.fnUntraced(function* (encoded: EncodedModel) {
    const key = digests.get(encoded) ?? digest(encoded)
    digests.set(encoded, key)
    const { sessions } = current()
    const known = sessions.get(key)
    if (known !== undefined) return known
    const session = sessions.size
    const spec = { model: encoded.bytes, weights: [], threads, access: "memory", planMemory: false } as const
    yield* request({ _tag: "Open", session, spec })
    sessions.set(key, session)
    return session
  }, Effect.uninterruptible)

  return {
    use: ({ capacity, name, slab, weights }, body) =>
      lock.withPermit(
        Effect.gen(function* () {
          const { slabs } = current()
          if (slabs.get(slab) !== name) {
            slabs.delete(slab)
            yield* Effect.mapError(thread.request({ _tag: "Load", slab, capacity, weights }), (failure) =>
              failure.died ? Failure.of(model)(failure) : unreadable(failure.problem),
            )
            slabs.set(slab, name)
          }
          return yield* body((encoded, feeds, fetches) =>
            Effect.gen(function* () {
              const session = yield* sessionOf(encoded)
              const { outputs } = yield* request({ _tag: "Run", session, feeds, fetches, slab })
              return outputs
            }),
          )
        }),
      ),
  }
})
