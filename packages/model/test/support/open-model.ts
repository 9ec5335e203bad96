/** Opens the model of a directory, as a process of its own. */
import * as Effect from "effect/Effect"
import { Checkpoint, LanguageModel } from "../../src/index.ts"

const opened = Effect.gen(function* () {
  const service = yield* LanguageModel
  yield* service.open(yield* Checkpoint.open(process.argv[2] ?? ""))
})
await Effect.runPromise(
  Effect.scoped(Effect.provide(opened, LanguageModel.layerWith({ workers: 1, threads: 1 }))),
)
