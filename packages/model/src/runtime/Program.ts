/**
 * A program, the graph of a model over its weights, in the workers of a pool.
 *
 * A worker gets a session of it when one is first needed there, and again when the worker was replaced. Which workers may
 * have one, and when sessions close, is the pool's matter.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Semaphore from "effect/Semaphore"
import type { ModelError } from "../ModelError.ts"
import * as Failure from "./Failure.ts"
import type { CacheUse, SessionSpec, Tensors, WeightAccess } from "./Protocol.ts"
import type { WorkerThread } from "./WorkerThread.ts"

/** A session in one worker, held by one caller at a time. */
export interface Lease {
  /** Runs the graph; input buffers are detached. Names in `cache.keep` stay in the worker for the next run. */
  readonly run: (
    feeds: Tensors,
    fetches: ReadonlyArray<string>,
    cache?: Omit<CacheUse, "cache">,
  ) => Effect.Effect<Tensors, ModelError>
}

export interface OpenProgram {
  /** Makes a session now, so that a graph or weights ONNX Runtime refuses fail here. */
  readonly warm: Effect.Effect<WeightAccess, ModelError>
  /** Sessions that may run at the same time. */
  readonly width: number
  /** Waits for a worker and uses its session of this program. */
  readonly lease: <A, E, R>(
    use: (lease: Lease) => Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | ModelError, R>
  /** A session and its cache until the scope closes; others use its worker between its runs. */
  readonly hold: Effect.Effect<Lease, ModelError, Scope.Scope>
}

/** A worker of the pool. */
export interface Slot {
  readonly thread: WorkerThread
  readonly lock: Semaphore.Semaphore
  /** Leases held or waited for. */
  load: number
}

/** The sessions of a program; everyone who opens the same one shares them. */
export interface Sessions {
  /** What the sessions are called in their workers. */
  readonly session: number
  /** The workers that may have one. */
  readonly allowed: ReadonlyArray<Slot>
  /** Where a session is open: slot → the thread's generation at that time. */
  readonly opened: Map<Slot, number>
}

/** Closes the sessions; a thread that has ended has none. */
export const close = ({ opened, session }: Sessions): Effect.Effect<void> =>
  Effect.forEach(
    [...opened].filter(([slot, generation]) => slot.thread.generation() === generation),
    ([slot]) => Effect.ignore(slot.thread.request({ _tag: "Close", session })),
    { concurrency: "unbounded", discard: true },
  )

/** The program over its sessions; `model` stands for it in errors, `newCache` gives numbers that no other cache has. */
export const make = (
  model: string,
  { allowed, opened, session }: Sessions,
  spec: SessionSpec,
  newCache: () => number,
): Omit<OpenProgram, "width"> => {
  const failed = Failure.of(model)
  let access: WeightAccess = spec.access

  /** Not interrupted: a session that nobody had noted would stay in the worker. */
  const ensureOpen = Effect.fnUntraced(function* (slot: Slot) {
    if (opened.get(slot) === slot.thread.generation()) return
    const reply = yield* Effect.mapError(slot.thread.request({ _tag: "Open", session, spec }), failed)
    access = reply.access ?? access
    opened.set(slot, slot.thread.generation())
  }, Effect.uninterruptible)

  /** The least loaded worker, which counts the caller from now on. */
  const take = Effect.sync(() => {
    const slot = allowed.reduce((least, candidate) => (candidate.load < least.load ? candidate : least))
    slot.load += 1
    return slot
  })
  const giveBack = (slot: Slot) => Effect.sync(() => void (slot.load -= 1))

  const send = (
    { thread }: Slot,
    cache: number,
    feeds: Tensors,
    fetches: ReadonlyArray<string>,
    use: Omit<CacheUse, "cache"> | undefined,
  ) =>
    thread
      .request(
        { _tag: "Run", session, feeds, fetches, ...(use === undefined ? {} : { cache: { ...use, cache } }) },
        Object.values(feeds).map(({ data }) => data.buffer as ArrayBuffer),
      )
      .pipe(
        Effect.map(({ outputs }) => outputs),
        Effect.mapError(failed),
      )
  const forget = ({ thread }: Slot, cache: number) => Effect.ignore(thread.request({ _tag: "Forget", cache }))

  const lease: OpenProgram["lease"] = (use) => {
    const body = Effect.fnUntraced(function* (slot: Slot) {
      yield* ensureOpen(slot)
      const cache = newCache()
      let caches = false
      const own: Lease = {
        run: (feeds, fetches, cacheUse) => {
          if (cacheUse !== undefined) caches = true
          return send(slot, cache, feeds, fetches, cacheUse)
        },
      }
      return yield* Effect.ensuring(
        use(own),
        Effect.suspend(() =>
          caches && opened.get(slot) === slot.thread.generation() ? forget(slot, cache) : Effect.void,
        ),
      )
    })
    return Effect.acquireUseRelease(take, (slot) => slot.lock.withPermit(body(slot)), giveBack)
  }

  const hold: OpenProgram["hold"] = Effect.gen(function* () {
    const slot = yield* Effect.acquireRelease(take, giveBack)
    yield* slot.lock.withPermit(ensureOpen(slot))
    const cache = newCache()
    const generation = slot.thread.generation()
    const alive = () => slot.thread.generation() === generation
    yield* Effect.addFinalizer(() => (alive() ? forget(slot, cache) : Effect.void))
    const gone = { problem: "the worker thread stopped, and what it had cached is gone", died: true }
    return {
      run: (feeds, fetches, use) =>
        slot.lock.withPermit(
          Effect.suspend(() =>
            alive() ? send(slot, cache, feeds, fetches, use) : Effect.fail(failed(gone)),
          ),
        ),
    }
  })

  const warm = Effect.map(
    lease(() => Effect.void),
    () => access,
  )
  return { warm, lease, hold }
}
