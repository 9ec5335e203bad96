import { Node, Plan, Reason, Run, Stage, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Schema } from "effect"
import { rmSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"
import { Total, toy } from "./toy.ts"

const on = (directory: string) => Effect.provide(Store.layer(directory))

const words = (plan: Plan.Plan) =>
  plan.map((step) =>
    step._tag === "Run"
      ? [Node.title(step.node), step.reasons.map(Reason.render).join(", ")]
      : [Node.title(step.node), step._tag],
  )

describe("Run", () => {
  it.effect("computes once and hits ever after", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      const { calls, scale, source, sum } = toy()
      const total = sum({ parts: [scale({ numbers: source([1, 2, 3]) }, { by: 2 })] })
      const first = yield* Run.outputs({ total }).pipe(on(store))
      const second = yield* Run.outputs({ total }).pipe(on(store))
      assert.deepStrictEqual([first, second], [{ total: 12 }, { total: 12 }])
      assert.deepStrictEqual(calls, ["scale 1", "scale 2", "scale 3", "sum"])
    }),
  )

  it.effect("reruns only what a changed parameter reaches, and the plan says which value changed", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      const { calls, positive, scale, source, sum } = toy()
      const build = (by: number) => {
        const scaled = scale({ numbers: source([1, 2]) }, { by })
        return { total: sum({ parts: [scaled, positive({ numbers: source([5]) })] }) }
      }
      yield* Run.outputs(build(2)).pipe(on(store))
      calls.length = 0
      assert.deepStrictEqual(words(yield* Plan.make(build(3)).pipe(on(store))), [
        ["scale", "by: 2 → 3"],
        ["positive", "Hit"],
        ["sum", "Wait"],
      ])
      assert.deepStrictEqual(calls, [])
      yield* Run.outputs(build(3)).pipe(on(store))
      assert.deepStrictEqual(calls, ["scale 1", "scale 2", "sum"])
    }),
  )

  it.effect("stops at a stage whose bytes did not change", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      const { calls, positive, scale, source, sum } = toy()
      const build = (by: number) => ({
        total: sum({ parts: [positive({ numbers: scale({ numbers: source([1]) }, { by }) })] }),
      })
      yield* Run.outputs(build(2)).pipe(on(store))
      calls.length = 0
      yield* Run.outputs(build(3)).pipe(on(store))
      assert.deepStrictEqual(calls, ["scale 1", "positive"])
    }),
  )

  it.effect("resumes a stage that failed at the element it failed on", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      let failAt: number | undefined = 3
      const { calls, scale, source } = toy({ failAt: () => failAt })
      const scaled = scale({ numbers: source([1, 2, 3]) }, { by: 2 })
      const error = yield* Run.outputs({ scaled }).pipe(on(store), Effect.flip)
      assert.strictEqual(error.message, "broken at 3")
      failAt = undefined
      assert.deepStrictEqual(yield* Run.outputs({ scaled }).pipe(on(store)), { scaled: [2, 4, 6] })
      assert.deepStrictEqual(calls, ["scale 1", "scale 2", "scale 3", "scale 3"])
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(store, "parts"))), [])
    }),
  )

  it.effect("does the work of two equal calls once, whatever their labels", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      const { calls, scale, source, sum } = toy()
      const one = scale({ numbers: source([1]) }, { by: 2 }, "one")
      const other = scale({ numbers: source([1]) }, { by: 2 }, "other")
      assert.deepStrictEqual(yield* Run.outputs({ total: sum({ parts: [one, other] }) }).pipe(on(store)), {
        total: 4,
      })
      assert.deepStrictEqual(calls, ["scale 1", "sum"])
    }),
  )

  it.effect("runs independent stages at the same time, up to the given number of jobs", () =>
    Effect.gen(function* () {
      const most = Effect.fnUntraced(function* (jobs: number) {
        let [running, peak] = [0, 0]
        const company = yield* Deferred.make<void>()
        const wait = Stage.make({
          name: "wait",
          version: 1,
          params: { id: Schema.Int },
          output: Total,
          run: () =>
            Effect.gen(function* () {
              peak = Math.max(peak, ++running)
              // Waits for company, however slowly the machine starts it, and then for more than there may be.
              if (running === jobs) yield* Deferred.succeed(company, undefined)
              yield* Deferred.await(company)
              yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
              running--
              return 1
            }),
        })
        const nodes = { a: wait({}, { id: 1 }), b: wait({}, { id: 2 }), c: wait({}, { id: 3 }) }
        yield* Run.outputs(nodes, { jobs }).pipe(on(yield* temporaryDirectory))
        return peak
      })
      assert.strictEqual(yield* most(2), 2)
      assert.strictEqual(yield* most(1), 1)
    }),
  )

  it.effect("treats a record whose content is gone as a miss, and says so", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      const { calls, scale, source } = toy()
      const build = () => ({ scaled: scale({ numbers: source([1]) }, { by: 2 }) })
      yield* Run.outputs(build()).pipe(on(store))
      rmSync(join(store, "cas"), { recursive: true })
      const [step] = yield* Plan.make(build()).pipe(on(store))
      assert.isTrue(step?._tag === "Run" && step.reasons[0]?._tag === "OutputMissing")
      yield* Run.outputs(build()).pipe(on(store))
      assert.deepStrictEqual(calls, ["scale 1", "scale 1"])
    }),
  )

  it.effect("leaves no temporary file behind, after success or failure", () =>
    Effect.gen(function* () {
      const store = yield* temporaryDirectory
      const { scale, source } = toy({ failAt: () => 2 })
      yield* Run.outputs({ fine: scale({ numbers: source([1]) }, { by: 2 }) }).pipe(on(store))
      yield* Run.outputs({ bad: scale({ numbers: source([2]) }, { by: 2 }) }).pipe(on(store), Effect.flip)
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(store, "tmp"))), [])
    }),
  )
})
