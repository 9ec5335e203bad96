/** The real worker, which dies when it is asked for its third run. */
import { parentPort } from "node:worker_threads"
import type { Envelope, Request } from "../../src/runtime/Protocol.ts"

let runs = 0
parentPort?.on("message", ({ body }: Envelope<Request>) => {
  if (body?._tag === "Run" && ++runs === 3) process.exit(7)
})
await import("../../src/runtime/Worker.ts")
