/** How a worker dies in tests. */
import { parentPort } from "node:worker_threads"
import type { Envelope, Request } from "../../src/runtime/Protocol.ts"

/** Ends the thread with code 7 when it is asked for its n-th run. */
export const dieAtRun = (n: number): void => {
  let runs = 0
  parentPort?.on("message", ({ body }: Envelope<Request>) => {
    if (body?._tag === "Run" && ++runs === n) process.exit(7)
  })
}
