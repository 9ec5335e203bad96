import { Artifact, Ingredients, Plan, Reason, Run, Stage, Store } from "@hila/core"
import { observed, planned } from "@hila/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"

class Kernel extends Context.Service<Kernel, { readonly identity: string; readonly add: number }>()(
  "test/Kernel",
) {
  static readonly named = (identity: string) => Layer.succeed(Kernel, { identity, add: identity.length })
}
const Sum = Artifact.json("sum", Schema.Finite)

const add = Stage.make({
  name: "add",
  version: 1,
  output: Sum,
  environment: [Kernel],
  run: () => Effect.map(Kernel, (kernel) => kernel.add),
})
const plain = Stage.make({
  name: "add",
  version: 1,
  output: Sum,
  run: () => Effect.map(Kernel, (kernel) => kernel.add),
})

const under = (identity: string) => Effect.provide(Kernel.named(identity))

describe("A declared environment", () => {
  it.effect("is part of the key: another implementation is another result, and the plan says so", () =>
    Effect.gen(function* () {
      const total = add({})
      assert.deepStrictEqual(yield* Run.outputs({ total }).pipe(under("cpu")), { total: 3 })
      assert.deepStrictEqual(yield* planned({ total }).pipe(under("cpu")), [["add", "hit"]])
      const plan = yield* Plan.make({ total }).pipe(under("cuda"))
      assert.deepStrictEqual(
        plan.flatMap((step) => (step._tag === "Run" ? step.reasons.map(Reason.render) : [])),
        ["test/Kernel: cpu → cuda"],
      )
      assert.deepStrictEqual(yield* Run.outputs({ total }).pipe(under("cuda")), { total: 4 })
      assert.deepStrictEqual((yield* observed(Run.outputs({ total }).pipe(under("cpu")))).ran, [])
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("that is not declared is not in the key", () =>
    Effect.gen(function* () {
      yield* Run.outputs({ total: plain({}) }).pipe(under("cpu"))
      assert.deepStrictEqual(yield* planned({ total: plain({}) }), [["add", "hit"]])
      const [action] = yield* Effect.flatMap(Store, (store) => store.actions)
      assert.strictEqual(
        action?.key,
        Ingredients.key({ stage: "add", version: 1, params: {}, inputs: {}, output: "sum" }),
      )
    }).pipe(Effect.provide(Store.layerMemory)),
  )
})
