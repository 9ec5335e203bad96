import { Run, RunLog, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { toy } from "./toy.ts"

describe("The difference of two runs", () => {
  it.effect("names every stage that differs, also where several have one title", () =>
    Effect.gen(function* () {
      const { scale, source } = toy()
      const go = (factors: ReadonlyArray<number>) =>
        Run.outputs(
          Object.fromEntries(
            factors.map((by, i) => [`n${i}`, scale({ numbers: source([i + 1]) }, { by })] as const),
          ),
        )
      // A run's name begins with its time.
      for (const factors of [[2, 3, 4], [2, 30, 40], [2]]) {
        yield* TestClock.adjust("1 minute")
        yield* go(factors)
      }
      const [first, second, third] = yield* RunLog.all
      const changes = (yield* RunLog.diff(first!, second!)).map(({ node, reasons }) => [node, reasons])
      assert.sameDeepMembers(changes, [
        ["scale", [{ _tag: "ParamChanged", param: "by", from: 3, to: 30 }]],
        ["scale", [{ _tag: "ParamChanged", param: "by", from: 4, to: 40 }]],
      ])
      const gone = yield* RunLog.diff(second!, third!)
      assert.sameMembers(
        gone.map(({ before }) => before?.ingredients.params["by"]),
        [30, 40],
      )
      for (const { after } of gone) assert.isUndefined(after)
      assert.deepStrictEqual(yield* RunLog.diff(third!, third!), [])
    }).pipe(Effect.provide(Store.layerMemory)),
  )
})
