import { assert, layer } from "@effect/vitest"
import { Run, Source, Stage, Store } from "@hila/core"
import { Checkpoint, Example, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as Micro from "../src/Micro.ts"
import * as Stages from "../src/stages.ts"
import { checkpointPath } from "./fixtures.ts"

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("evaluation in a pipeline", (it) => {
  it.effect("goes from questions and golden data to the table, and reads it back from the store", () =>
    Effect.gen(function* () {
      const models = ["base", "math"]
      const questions = Stages.questions({}, { domain: "math", side: "heldOut", seed: 1, skip: 5, take: 40 })
      // The math expert's own answers to 83-61 and max(69,34), as tokens.
      const golden = Source.value(Example.artifact, [
        {
          prompt: "Q: 83-61\nA:",
          response: " 22\n",
          tokens: [1, 51, 28, 223, 26, 21, 15, 24, 19, 201, 35, 28, 223, 20, 20, 201],
          promptLength: 12,
        },
        {
          prompt: "Q: max(69,34)\nA:",
          response: " 69\n",
          tokens: [1, 51, 28, 285, 10, 24, 27, 14, 21, 22, 11, 201, 35, 28, 223, 24, 27, 201],
          promptLength: 14,
        },
      ])
      const measured = models.map((name) => {
        const model = Checkpoint.source(checkpointPath(name))
        return {
          accuracy: Stages.accuracy({ model, questions: [questions] }, { maxTokens: 16, stop: [Micro.stop] }),
          loss: Stages.goldenLoss({ model, golden: [golden] }, { domains: ["math"] }),
        }
      })
      const table = Stages.compare(
        { accuracy: measured.map((node) => node.accuracy), loss: measured.map((node) => node.loss) },
        { models, base: "base" },
      )
      const store = Store.layer(join(yield* Stage.scratch, "store"))
      const first = yield* Effect.provide(Run.outputs({ table }), store)
      const [base, math] = first.table.rows
      assert.deepStrictEqual(first.table.questions, [{ domain: "math", n: 40 }])
      assert.deepStrictEqual(first.table.golden, [{ domain: "math", n: 2, expert: "math" }])
      assert.strictEqual(base?.retention, 0)
      assert.strictEqual(math?.retention, 1)
      assert.isAbove(math?.mean ?? 0, base?.mean ?? 1)
      const second = yield* Effect.provide(Run.outputs({ table }), store)
      assert.deepStrictEqual(second.table, first.table)
    }),
  )
})
