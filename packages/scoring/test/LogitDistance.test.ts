import { assert, describe, layer } from "@effect/vitest"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as LogitDistance from "../src/LogitDistance.ts"
import { checkpointPath, examples, hasShared, oracleOf, shared } from "./fixtures.ts"

const open = (path: string) =>
  Effect.flatMap(Checkpoint.open(path), (checkpoint) => CausalModel.open(checkpoint))

layer(Runtime.layer)("LogitDistance", (it) => {
  it.effect("is 0 between a model and itself, and the same both ways", () =>
    Effect.gen(function* () {
      const [math, code] = [yield* open(checkpointPath("math")), yield* open(checkpointPath("code"))]
      const golden = [
        { prompt: "", response: "", tokens: [1, 51, 28, 223, 20], promptLength: 3 },
        { prompt: "", response: "", tokens: [1, 51], promptLength: 1 },
      ]
      const [self, there] = yield* LogitDistance.values(math, [math, code], golden)
      assert.deepStrictEqual(self, [0, 0])
      assert.deepStrictEqual(yield* LogitDistance.values(code, [math], golden), [there!])
      assert.isTrue(there?.every((value) => value > 0))
      // Of the second example one position counts: there the distance is the root of its square.
      const [roots] = yield* LogitDistance.values(math, [code], golden, "euclidean")
      assert.closeTo(roots![1]! ** 2, there[1]!, 1e-6 * there[1]!)
    }).pipe(Effect.scoped),
  )

  describe.skipIf(!hasShared)("against the reference (needs ../shared)", () => {
    it.effect("refuses models of different vocabularies", () =>
      Effect.gen(function* () {
        const math = yield* open(checkpointPath("math"))
        const other = yield* open(fileURLToPath(new URL("models/realtext/base", shared)))
        const error = yield* Effect.flip(LogitDistance.values(math, [other], []))
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
          const expected = Object.entries(reference.logitDistance.others)
          const others = yield* Effect.forEach(expected, ([which]) => open(path(which)))
          const got = yield* LogitDistance.values(expert, others, examples(reference))
          for (const [at, [which, values]] of expected.entries()) {
            assert.strictEqual(got[at]?.length, values.length)
            values.forEach((value, k) =>
              assert.closeTo(got[at]![k]! / value, 1, 1e-3, `${which}, sample ${k}`),
            )
          }
        }).pipe(Effect.scoped),
      60_000,
    )
  })
})
