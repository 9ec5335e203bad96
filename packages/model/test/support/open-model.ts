/** Opens the model of a directory, as a process of its own. */
import * as Effect from "effect/Effect"
import { CausalModel, Checkpoint, Runtime } from "../../src/index.ts"

const opened = Effect.gen(function* () {
  yield* CausalModel.open(yield* Checkpoint.open(process.argv[2] ?? ""))
})
await Effect.runPromise(Effect.scoped(Effect.provide(opened, Runtime.layerWith({ workers: 1, threads: 1 }))))
