/**
 * The threads that do jobs, over one shared memory.
 *
 * With no threads a job is done at once where it is asked for: what a small merge saves is the start of threads.
 */
import { known } from "@hila/core/Lookup"
import * as Threads from "@hila/core/Threads"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { Worker } from "node:worker_threads"
import { makeMemory, type SharedMemory } from "../internal/webAssembly.ts"
import * as Wasm from "../kernels/Wasm.ts"
import { EngineError } from "../MergeError.ts"
import * as Arena from "./Arena.ts"
import * as Job from "./Job.ts"
import type { AnyMethod } from "./Method.ts"

export interface Pool {
  readonly memory: SharedMemory
  readonly run: (method: AnyMethod, job: Job.Job) => Effect.Effect<Job.Result, EngineError>
}

type Answer = Job.Result | { readonly _tag: "Failed"; readonly problem: string }

const entry = import.meta.url.endsWith(".ts")
  ? new URL("../internal/worker.ts", import.meta.url)
  : new URL("../internal/worker.js", import.meta.url)

/** A pool over `bytes` that ends with its scope; `threads` is an integer, 0 to work on the calling thread. */
export const make = Effect.fnUntraced(function* (threads: number, bytes: number) {
  const memory = makeMemory(bytes)
  if (threads === 0) return inline(memory)
  const idle: Array<Worker> = []
  for (let i = 0; i < threads; i++) idle.push(yield* worker(memory))
  const permits = Semaphore.makeUnsafe(threads)
  const pool: Pool = {
    memory,
    run: (method, job) =>
      permits.withPermits(1)(
        Effect.suspend(() => {
          const taken = known(idle.pop())
          return Effect.ensuring(
            Effect.flatMap(ask(taken, { module: method.module, job }), answered(job)),
            Effect.sync(() => idle.push(taken)),
          )
        }),
      ),
  }
  return pool
})

const inline = (memory: SharedMemory): Pool => {
  const thread: Job.Thread = { memory, arithmetic: Wasm.make(memory), arena: Arena.make(memory) }
  return {
    memory,
    run: (method, job) =>
      Effect.try({
        try: () => Job.run(thread, method, job),
        catch: (cause) => new EngineError({ tensor: job.task.tensor, problem: String(cause) }),
      }),
  }
}

const worker = (memory: SharedMemory) =>
  Effect.acquireRelease(
    Effect.sync(
      () => new Worker(entry, { workerData: memory, execArgv: [...Threads.execArgv], name: "hila-merge" }),
    ),
    (started) => Effect.promise(() => started.terminate()),
  )

/** Sends a job to an idle thread and waits for its answer, or for the thread's end. */
const ask = (worker: Worker, message: unknown) =>
  Effect.callback<Answer>((resume) => {
    const stopListening = () => {
      worker.off("message", end)
      worker.off("error", fail)
      worker.off("exit", exit)
    }
    const end = (answer: Answer) => {
      stopListening()
      resume(Effect.succeed(answer))
    }
    const fail = (cause: Error) => end({ _tag: "Failed", problem: cause.message })
    const exit = (code: number) => end({ _tag: "Failed", problem: `a worker thread ended with ${code}` })
    worker.on("message", end)
    worker.on("error", fail)
    worker.on("exit", exit)
    worker.postMessage(message) // oxlint-disable-line unicorn/require-post-message-target-origin -- no window
    return Effect.sync(stopListening)
  })

const answered =
  (job: Job.Job) =>
  (answer: Answer): Effect.Effect<Job.Result, EngineError> =>
    answer._tag === "Failed"
      ? Effect.fail(new EngineError({ tensor: job.task.tensor, problem: answer.problem }))
      : Effect.succeed(answer)
