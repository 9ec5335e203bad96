/**
 * One worker thread seen from the main thread: requests with replies, a fresh thread after a death.
 *
 * The thread starts with the first request. When it ends without being asked to, every pending request fails with the
 * exit code and the next request starts a new thread, in which no session is open.
 */
import * as Threads from "@hila/core/Threads"
import * as Effect from "effect/Effect"
import { Worker } from "node:worker_threads"
import type { Envelope, Reply, Request } from "./Protocol.ts"

const defaultEntry = new URL(import.meta.url.endsWith(".ts") ? "./Worker.ts" : "./Worker.js", import.meta.url)

/** Why a request got no answer: the thread ended, or the request itself was refused. */
export interface RequestFailure {
  readonly problem: string
  readonly died: boolean
}

/** The slots of the flags a thread shares with its worker: 1 while it is inside ONNX Runtime, 1 once it must not enter. */
const BUSY = 0
const CLOSED = 1

/** The flags of the running threads. */
const running = new Set<Int32Array>()

/** A process that exits with a thread inside ONNX Runtime would abort, so it waits for the runs in progress. */
const waitUntilIdle = (): void => {
  for (const flags of running) Atomics.store(flags, CLOSED, 1)
  for (const flags of running) Atomics.wait(flags, BUSY, 1, 60_000)
}

/**
 * ONNX Runtime reports to its maker about sessions and the models in them, unless the process's environment forbids it when
 * the library loads. A worker's own environment is a copy that native code does not see.
 */
const withoutTelemetry = (): void => {
  process.env["ORT_DISABLE_TELEMETRY"] ??= "1"
}

interface Living {
  readonly worker: Worker
  readonly pending: Map<
    number,
    (result: Effect.Effect<Extract<Reply, { _tag: "Done" }>, RequestFailure>) => void
  >
}

export interface WorkerThread {
  /** Sends a request; buffers in `transfer` are detached from the caller. */
  readonly request: (
    request: Request,
    transfer?: ReadonlyArray<ArrayBuffer>,
  ) => Effect.Effect<Extract<Reply, { _tag: "Done" }>, RequestFailure>
  /** Counts the threads that ended so far; a session opened under another count is gone. */
  readonly generation: () => number
  /**
   * Ends the thread, if it runs, when the run in progress is over; requests behind it fail. Stopping a thread inside
   * ONNX Runtime would abort the whole process.
   */
  readonly stop: Effect.Effect<void>
}

/** A thread that has not started yet; `entry` is the module it runs. */
export const make = (entry: URL = defaultEntry): WorkerThread => {
  let living: Living | undefined
  let generation = 0
  let nextId = 0

  const start = (): Living => {
    withoutTelemetry()
    const flags = new Int32Array(new SharedArrayBuffer(8))
    if (running.size === 0) process.on("exit", waitUntilIdle)
    running.add(flags)
    const worker = new Worker(entry, {
      workerData: flags,
      execArgv: [...Threads.execArgv],
      name: "hila-model",
    })
    const started: Living = { worker, pending: new Map() }
    let cause = ""
    worker.on("message", ({ body, id }: Envelope<Reply>) => {
      const resume = started.pending.get(id)
      started.pending.delete(id)
      resume?.(
        body._tag === "Done" ? Effect.succeed(body) : Effect.fail({ problem: body.problem, died: false }),
      )
    })
    worker.on("error", (error) => {
      cause = `: ${error instanceof Error ? error.message : String(error)}`
    })
    worker.on("exit", (code) => {
      running.delete(flags)
      if (running.size === 0) process.off("exit", waitUntilIdle)
      if (living === started) {
        living = undefined
        generation += 1
      }
      const failure = { problem: `the worker thread stopped with exit code ${code}${cause}`, died: true }
      for (const resume of started.pending.values()) resume(Effect.fail(failure))
      started.pending.clear()
    })
    return started
  }

  return {
    request: (request, transfer = []) =>
      Effect.callback((resume) => {
        living ??= start()
        const { pending, worker } = living
        const id = nextId++
        pending.set(id, resume)
        worker.postMessage({ id, body: request } satisfies Envelope<Request>, [...transfer])
        return Effect.sync(() => void pending.delete(id))
      }),
    generation: () => generation,
    stop: Effect.callback((resume) => {
      if (living === undefined) return resume(Effect.void)
      living.worker.once("exit", () => resume(Effect.void))
      living.worker.postMessage("stop", [])
    }),
  }
}
