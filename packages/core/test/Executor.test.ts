import { Executor, Store } from "@hila/core"
import { executorContract } from "@hila/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { copyFile, mkdir } from "node:fs/promises"
import { dirname, join } from "node:path"

/** An executor with a store of its own, as a worker on another machine would have: only content comes back. */
const elsewhere = Effect.gen(function* () {
  const here = yield* Executor
  const theirs = Context.get(yield* Layer.build(Layer.fresh(Store.layerMemory)), Store)
  return Executor.of({
    execute: (task) =>
      Effect.scoped(
        Effect.gen(function* () {
          const outcome = yield* Effect.provideService(here.execute(task), Store, theirs)
          const content = yield* theirs.content(outcome.kind, outcome.digest)
          assert.isTrue(Option.isSome(content))
          if (Option.isNone(content)) return outcome
          const ours = yield* Store
          const to = join(yield* ours.scratch, "value")
          const files = content.value._tag === "File" ? { "": content.value } : content.value.files
          for (const [name, { path }] of Object.entries(files)) {
            yield* Effect.promise(async () => {
              await mkdir(dirname(join(to, name)), { recursive: true })
              await copyFile(path, join(to, name))
            })
          }
          assert.strictEqual((yield* ours.publish(to)).digest, outcome.digest)
          return outcome
        }),
      ),
  })
})

describe("An executor elsewhere", () => {
  for (const { check, name } of executorContract) {
    it.live(name, () =>
      Effect.gen(function* () {
        yield* Effect.provideService(check, Executor, yield* elsewhere)
      }).pipe(Effect.provide(Layer.fresh(Store.layerMemory))),
    )
  }
})
