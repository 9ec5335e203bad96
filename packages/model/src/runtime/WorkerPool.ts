/**
 * A pool of worker threads that own ONNX Runtime sessions, with a thread and a memory budget.
 *
 * A model is opened as a *program*: its graph and weight files. The pool makes a session of it in a worker when one is
 * first needed there, and again when that worker was replaced. Small programs run in every worker at once, one session
 * each; a program whose copies would not fit in the memory budget runs in one worker with all threads.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { availableParallelism } from "node:os"
import { ModelError } from "../ModelError.ts"
import type { EncodedModel } from "../onnx/Encode.ts"
import type { BlockRunner } from "./BlockRunner.ts"
import * as Runner from "./BlockRunner.ts"
import { digest } from "./Digest.ts"
import * as Failure from "./Failure.ts"
import type { CacheUse, Tensors, WeightAccess } from "./Protocol.ts"
import type { WorkerThread } from "./WorkerThread.ts"
import * as Thread from "./WorkerThread.ts"

export interface PoolOptions {
  /** Worker threads, ≥ 1. Default: as many as `threads`, at most 4. */
  readonly workers?: number
  /** Threads for computing in all workers together, ≥ 1. Default: the machine's. */
  readonly threads?: number
  /** Bytes that copies of one model's weights may take in all workers together. Default: 1 GiB. */
  readonly memory?: number
  /** Whether workers link weight files (falling back to memory) or always read them into memory. Default: link. */
  readonly weightAccess?: WeightAccess
  /** What computes, by ONNX Runtime's name. Default, and the only one that is not refused: `cpu`. */
  readonly executionProvider?: string
}

/** A session in one worker, held by one caller at a time. */
export interface Lease {
  /** Runs the graph; input buffers are detached. Names in `cache.keep` stay in the worker for the next run. */
  readonly run: (
    feeds: Tensors,
    fetches: ReadonlyArray<string>,
    cache?: Omit<CacheUse, "cache">,
  ) => Effect.Effect<Tensors, ModelError>
}

export interface WorkerPool {
  /**
   * Registers a program; its sessions close with the scope of the last who opened it. `weightBytes` is the size of its
   * weights as f32.
   */
  readonly open: (
    model: string,
    encoded: EncodedModel,
    weightBytes: number,
  ) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
  /** A thread of its own for a model that runs piece by piece; ends with the scope. */
  readonly blocks: (model: string) => Effect.Effect<BlockRunner, ModelError, Scope.Scope>
  /** The threads, for tests that stop one. */
  readonly threads: ReadonlyArray<WorkerThread>
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

interface Slot {
  readonly thread: WorkerThread
  readonly lock: Semaphore.Semaphore
  /** Leases held or waited for. */
  load: number
}

/** A graph over its weights; everyone who opens the same one shares its sessions. */
interface Program {
  readonly session: number
  readonly allowed: ReadonlyArray<Slot>
  /** Where a session is open: slot → the thread's generation at that time. */
  readonly opened: Map<Slot, number>
  users: number
}

/** Refuses an execution provider that nobody has tested. */
const provider = (
  model: string,
  { executionProvider = "cpu" }: PoolOptions,
): Effect.Effect<void, ModelError> =>
  executionProvider === "cpu"
    ? Effect.void
    : Effect.fail(
        new ModelError({
          model,
          problem: `execution provider ${JSON.stringify(executionProvider)}: only "cpu" is built and tested; leave the option out`,
          blame: "input",
        }),
      )

/**
 * A pool whose threads end with the scope. No thread starts before the first session is needed. `entry` is the module
 * the threads run, by default this package's worker.
 */
export const make = Effect.fnUntraced(function* (
  options: PoolOptions = {},
  entry?: URL,
): Effect.fn.Return<WorkerPool, never, Scope.Scope> {
  const threads = Math.max(1, Math.floor(options.threads ?? availableParallelism()))
  const workers = Math.max(1, Math.floor(options.workers ?? Math.min(threads, 4)))
  const memory = options.memory ?? 2 ** 30
  const slots: ReadonlyArray<Slot> = Array.from({ length: workers }, () => ({
    thread: Thread.make(entry),
    lock: Semaphore.makeUnsafe(1),
    load: 0,
  }))
  yield* Effect.addFinalizer(() =>
    Effect.forEach(slots, ({ thread }) => thread.stop, { concurrency: "unbounded", discard: true }),
  )
  const programs = new Map<string, Program>()
  let nextSession = 0
  let nextCache = 0

  const open: WorkerPool["open"] = Effect.fnUntraced(function* (model, encoded, weightBytes) {
    yield* provider(model, options)
    const key = digest(encoded)
    const copies = Math.min(workers, Math.max(1, Math.floor(memory / Math.max(weightBytes, 1))))
    const program: Program = programs.get(key) ?? {
      session: nextSession++,
      allowed: slots.toSorted((a, b) => a.load - b.load).slice(0, copies),
      opened: new Map(),
      users: 0,
    }
    programs.set(key, program)
    program.users += 1
    const { allowed, opened, session } = program
    const spec = {
      model: encoded.bytes,
      weights: encoded.weights,
      threads: Math.max(1, Math.floor(threads / copies)),
      access: options.weightAccess ?? "link",
      planMemory: true,
    }
    let access: WeightAccess = spec.access

    const failed = Failure.of(model)
    const ensureOpen = Effect.fnUntraced(function* (slot: Slot) {
      if (opened.get(slot) === slot.thread.generation()) return
      const reply = yield* Effect.mapError(slot.thread.request({ _tag: "Open", session, spec }), failed)
      access = reply.access ?? access
      opened.set(slot, slot.thread.generation())
    })

    const leastLoaded = () =>
      allowed.reduce((least, candidate) => (candidate.load < least.load ? candidate : least))
    const send = (
      { thread }: Slot,
      cache: number,
      feeds: Tensors,
      fetches: ReadonlyArray<string>,
      use: Omit<CacheUse, "cache"> | undefined,
    ) =>
      thread
        .request(
          {
            _tag: "Run",
            session,
            feeds,
            fetches,
            ...(use === undefined ? {} : { cache: { ...use, cache } }),
          },
          Object.values(feeds).map(({ data }) => data.buffer as ArrayBuffer),
        )
        .pipe(
          Effect.map(({ outputs }) => outputs),
          Effect.mapError(failed),
        )
    const forget = ({ thread }: Slot, cache: number) =>
      Effect.ignore(thread.request({ _tag: "Forget", cache }))

    const lease: OpenProgram["lease"] = (use) =>
      Effect.suspend(() => {
        const slot = leastLoaded()
        slot.load += 1
        const body = Effect.gen(function* () {
          yield* ensureOpen(slot)
          const cache = nextCache++
          let caches = false
          return yield* Effect.ensuring(
            use({
              run: (feeds, fetches, cacheUse) => {
                if (cacheUse !== undefined) caches = true
                return send(slot, cache, feeds, fetches, cacheUse)
              },
            }),
            Effect.suspend(() =>
              caches && opened.get(slot) === slot.thread.generation() ? forget(slot, cache) : Effect.void,
            ),
          )
        })
        return slot.lock.withPermit(body).pipe(Effect.ensuring(Effect.sync(() => void (slot.load -= 1))))
      })

    const hold: OpenProgram["hold"] = Effect.gen(function* () {
      const slot = leastLoaded()
      slot.load += 1
      yield* Effect.addFinalizer(() => Effect.sync(() => void (slot.load -= 1)))
      yield* slot.lock.withPermit(ensureOpen(slot))
      const cache = nextCache++
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

    yield* Effect.addFinalizer(() => {
      program.users -= 1
      if (program.users > 0) return Effect.void
      programs.delete(key)
      return Effect.forEach(
        [...opened].filter(([slot, generation]) => slot.thread.generation() === generation),
        ([slot]) => Effect.ignore(slot.thread.request({ _tag: "Close", session })),
        { concurrency: "unbounded", discard: true },
      )
    })
    return {
      warm: Effect.map(
        lease(() => Effect.void),
        () => access,
      ),
      width: copies,
      lease,
      hold,
    }
  })

  const blocks: WorkerPool["blocks"] = (model) =>
    Effect.andThen(provider(model, options), Runner.make(model, threads, entry))

  return { open, blocks, threads: slots.map(({ thread }) => thread) }
})
