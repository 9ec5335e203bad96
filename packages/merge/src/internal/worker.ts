/** A thread of the pool: takes jobs, does them in the shared memory, answers. */
import { parentPort, workerData } from "node:worker_threads"
import * as Arena from "../engine/Arena.ts"
import { type Job, run, type Thread } from "../engine/Job.ts"
import type { AnyMethod } from "../engine/Method.ts"
import * as Wasm from "../kernels/Wasm.ts"
import type { SharedMemory } from "./webAssembly.ts"

const memory = workerData as SharedMemory
const thread: Thread = { memory, arithmetic: Wasm.make(memory), arena: Arena.make(memory) }

const answer = async (job: Job, module: string) => {
  try {
    const { method } = (await import(module)) as { readonly method: AnyMethod }
    return run(thread, method, job)
  } catch (cause) {
    return { _tag: "Failed", problem: cause instanceof Error ? cause.message : String(cause) } as const
  }
}

parentPort?.on("message", ({ job, module }: { readonly job: Job; readonly module: string }) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port, no window
  void answer(job, module).then((result) => parentPort?.postMessage(result))
})
