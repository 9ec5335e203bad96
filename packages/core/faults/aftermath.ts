/** What has to hold after a run was cut: the next one is right, repeats nothing that was finished, and leaves no stray. */
import { Gc, Store } from "@hila/core"
import { strays } from "@hila/core/testing"
import { Effect, Layer } from "effect"
import { deepStrictEqual } from "node:assert/strict"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { expected, finished, run } from "./subject.ts"

export const logged = (log: string): ReadonlyArray<string> =>
  existsSync(log) ? readFileSync(log, "utf8").split("\n").filter(Boolean) : []

/** Runs the subject on the store that a cut run left, and checks everything. */
export const aftermath = (directory: string, log: string) =>
  Effect.gen(function* () {
    const kept = yield* Effect.flatMap(Store, finished).pipe(Effect.provide(Store.layer(directory)))
    writeFileSync(log, "")
    const open = Layer.fresh(Store.layer(directory))
    const result = yield* run({ log, pause: 0 }).pipe(Effect.provide(open))
    deepStrictEqual(result, expected, "the result is wrong")
    const repeated = logged(log).filter((name) => kept.has(name))
    deepStrictEqual(repeated, [], "what was finished is computed again")
    deepStrictEqual(new Set(logged(log)).size, logged(log).length, "a body ran twice")
    const left = yield* Effect.andThen(Gc.collect({ grace: 0 }), strays(directory)).pipe(
      Effect.provide(Layer.fresh(Store.layer(directory))),
    )
    deepStrictEqual(left, [], "stray files")
    writeFileSync(log, "")
    deepStrictEqual(yield* run({ log, pause: 0 }).pipe(Effect.provide(Layer.fresh(open))), expected)
    deepStrictEqual(logged(log), [], "something that was collected was still needed")
    return kept.size
  })
