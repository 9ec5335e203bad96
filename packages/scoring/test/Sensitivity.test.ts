import { assert, describe, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Sensitivity from "../src/Sensitivity.ts"
import * as Stages from "../src/stages.ts"
import * as Statistics from "../src/Statistics.ts"
import { checkpointPath, examples, hasShared, oracle } from "./fixtures.ts"

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("measures of Sens-Merging", (it) => {
  describe.skipIf(!hasShared)("against the reference (needs ../shared)", () => {
    it.effect("sensitivity and logit distance of the stages agree within 1e-3, mean by mean", () =>
      Effect.gen(function* () {
        const reference = oracle("code")
        const own = examples(reference)
        const open = (member: string) => Checkpoint.open(checkpointPath(member))
        const model = yield* open("code")
        const sensitivity = yield* Stages.sensitivity.run({ model, examples: own }, {})
        const groups = Object.entries(reference.sensitivity.groups)
        assert.sameMembers(
          sensitivity.rows.map(({ group }) => group),
          groups.map(([group]) => group),
        )
        for (const { group, score, values } of sensitivity.rows) {
          const expected = reference.sensitivity.groups[group] ?? []
          assert.closeTo(score / Statistics.mean(expected), 1, 1e-3, group)
          assert.strictEqual(values.length, own.length)
        }
        const names = Object.keys(reference.logitDistance.others)
        const others = yield* Effect.forEach(names, open)
        const distance = yield* Stages.logitDistance.run({ specialist: model, others, examples: own }, {})
        assert.deepInclude(distance, { norm: "squared", examples: own.length })
        for (const [at, name] of names.entries()) {
          const expected = Statistics.mean(reference.logitDistance.others[name] ?? [])
          assert.closeTo(distance.rows[at]!.score / expected, 1, 1e-3, name)
        }
      }),
    )
  })

  it.effect("measures the same without a pipeline, and refuses to measure on nothing", () =>
    Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(checkpointPath("math"))
      const two = [
        { prompt: "", response: "", tokens: [1, 51, 28, 223, 20], promptLength: 3 },
        { prompt: "", response: "", tokens: [1, 51], promptLength: 1 },
      ]
      const model = yield* CausalModel.open(checkpoint)
      const staged = yield* Stages.sensitivity.run({ model: checkpoint, examples: two }, {})
      assert.deepStrictEqual(yield* Sensitivity.measure(model, two), staged)
      const none = yield* Effect.flip(Stages.sensitivity.run({ model: checkpoint, examples: [] }, {}))
      assert.strictEqual(none.message, "sensitivity: no examples were given; give one or more")
      const far = yield* Effect.flip(
        Stages.logitDistance.run({ specialist: checkpoint, others: [], examples: [] }, {}),
      )
      assert.strictEqual(far.message, "logit distance: no examples were given; give one or more")
    }).pipe(Effect.scoped),
  )
})
