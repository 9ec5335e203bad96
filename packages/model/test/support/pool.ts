/** Models opened on a pool that a test holds itself, to watch or to stop its threads. */
import * as Effect from "effect/Effect"
import { Runtime } from "../../src/index.ts"
import type { WorkerPool } from "../../src/runtime/WorkerPool.ts"

export const within = (pool: WorkerPool) => Effect.provideService(Runtime, Runtime.over(pool))
