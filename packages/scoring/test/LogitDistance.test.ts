import { assert, describe, layer } from "@effect/vitest"
import { Checkpoint, LanguageModel } from "@hila/model"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as LogitDistance from "../src/LogitDistance.ts"
import { checkpointPath, examples, hasShared, oracleOf, shared } from "./fixtures.ts"

const open = (path: string) =>
  Effect.flatMap(Checkpoint.open(path), (checkpoint) =>
    Effect.flatMap(LanguageModel, (service) => service.open(checkpoint)),
  )

layer(LanguageModel.layer)("LogitDistance", (it) => {
  it.effect("is 0 between a model and itself, and the same both ways", () =>
    Effect.gen(function* () {
      const [math, code] = [yield* open(checkpointPath("math")), yield* open(checkpointPath("code"))]
      const golden = [
        { prompt: "", response: "", tokens: [1, 51, 28, 223, 20], promptLength: 3 },
        { prompt: "", response: "", tokens: [1, 51], promptLength: 1 },
      ]
      assert.deepStrictEqual(yield* LogitDistance.measure(math, math, golden), [0, 0])
      const there = yield* LogitDistance.measure(math, code, golden)
      assert.deepStrictEqual(yield* LogitDistance.measure(code, math, golden), there)
      assert.isTrue(there.every((value) => value > 0))
    }).pipe(Effect.scoped),
  )

  describe.skipIf(!hasShared)("against the reference (needs ../shared)", () => {
    it.effect("refuses models of different vocabularies", () =>
      Effect.gen(function* () {
        const math = yield* open(checkpointPath("math"))
        const other = yield* open(fileURLToPath(new URL("models/realtext/base", shared)))
        const error = yield* Effect.flip(LogitDistance.measure(math, other, []))
        assert.match(error.message, /vocabularies of 320 and 3072 tokens/)
      }).pipe(Effect.scoped),
    )

    it.effect.each(["micro-math", "micro-lang", "realtext-med"])(
      "agrees for %s within 1e-3, example by example",
      (name) =>
        Effect.gen(function* () {
          const reference = oracleOf(name)
          const [family, member] = name.split("-")
          const path = (which: string) => fileURLToPath(new URL(`models/${family}/${which}`, shared))
          const expert = yield* open(path(member ?? ""))
          for (const [which, expected] of Object.entries(reference.logitDistance.others)) {
            const got = yield* LogitDistance.measure(yield* open(path(which)), expert, examples(reference))
            assert.strictEqual(got.length, expected.length)
            expected.forEach((value, k) => assert.closeTo(got[k]! / value, 1, 1e-3, `${which}, sample ${k}`))
          }
        }).pipe(Effect.scoped),
      60_000,
    )
  })
})
