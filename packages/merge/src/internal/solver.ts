/** A thread that solves the equations of one tensor at a time. */
import { parentPort } from "node:worker_threads"
import { run, type Work } from "../statistics/dense/Work.ts"

parentPort?.on("message", (work: Work) => {
  try {
    const solved = run(work)
    parentPort?.postMessage({ _tag: "Solved", solved }, [solved.values.buffer as ArrayBuffer])
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port, no window
    parentPort?.postMessage({ _tag: "Failed", problem })
  }
})
