/**
 * A pool of worker threads that own ONNX Runtime sessions, with a thread and a memory budget.
 *
 * A model is opened as a *program*: its graph and weight files. Small programs run in every worker at once, one session
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
import type { OpenProgram, Slot } from "./Program.ts"
import * as Program from "./Program.ts"
import type { WeightAccess } from "./Protocol.ts"
import type { WorkerThread } from "./WorkerThread.ts"
import * as Thread from "./WorkerThread.ts"

export type { Lease, OpenProgram } from "./Program.ts"

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

/** The sessions of a program, and how many have it open. */
interface Shared extends Program.Sessions {
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
  const programs = new Map<string, Shared>()
  let nextSession = 0
  let nextCache = 0

  /** The sessions of a program until the scope of the last who opened it closes. */
  const share = (key: string, copies: number) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const shared: Shared = programs.get(key) ?? {
          session: nextSession++,
          allowed: slots.toSorted((a, b) => a.load - b.load).slice(0, copies),
          opened: new Map(),
          users: 0,
        }
        programs.set(key, shared)
        shared.users += 1
        return shared
      }),
      (shared) => {
        shared.users -= 1
        if (shared.users > 0) return Effect.void
        programs.delete(key)
        return Program.close(shared)
      },
    )

  const open: WorkerPool["open"] = Effect.fnUntraced(function* (model, encoded, weightBytes) {
    yield* provider(model, options)
    const width = Math.min(workers, Math.max(1, Math.floor(memory / Math.max(weightBytes, 1))))
    const spec = {
      model: encoded.bytes,
      weights: encoded.weights,
      threads: Math.max(1, Math.floor(threads / width)),
      access: options.weightAccess ?? "link",
      planMemory: true,
    }
    const sessions = yield* share(digest(encoded), width)
    return { width, ...Program.make(model, sessions, spec, () => nextCache++) }
  })

  const blocks: WorkerPool["blocks"] = (model) =>
    Effect.andThen(provider(model, options), Runner.make(model, threads, entry))

  return { open, blocks, threads: slots.map(({ thread }) => thread) }
})
