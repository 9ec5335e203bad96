import { assert, layer } from "@effect/vitest"
import { Run, Source, Stage, Store } from "@hila/core"
import { Checkpoint, Question, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as Stages from "../src/stages.ts"
import { checkpointPath } from "./fixtures.ts"

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("scoring in a pipeline", (it) => {
  it.effect("hands golden data, which carries its report, to what takes examples", () =>
    Effect.gen(function* () {
      const base = Checkpoint.source(checkpointPath("base"))
      const expert = Checkpoint.source(checkpointPath("code"))
      const texts = ["rev('abc')", "sort('gdf')", "rev('abc')", "len('abcde')"]
      const questions = Source.value(
        Question.artifact,
        texts.map((text) => ({ domain: "code", prompt: `Q: ${text}\nA:`, answer: "" })),
      )
      const golden = Stages.golden({ teacher: expert, questions }, { maxTokens: 16, stop: ["\n"] })
      const scores = Stages.importance({ base, expert, golden }, { scheme: "kvGroup", method: "revert" })
      const store = Store.layer(join(yield* Stage.scratch, "store"))
      const first = yield* Effect.provide(Run.outputs({ golden, scores }), store)
      assert.deepInclude(first.golden.report, { asked: 4, kept: 3, unended: 0, duplicates: 1 })
      assert.strictEqual(first.golden.length, 3)
      assert.strictEqual(first.scores.rows.length, 4 * (4 + 1))
      const second = yield* Effect.provide(Run.outputs({ golden, scores }), store)
      assert.deepStrictEqual(second.golden.report, first.golden.report)
      assert.deepStrictEqual(second.scores, first.scores)
    }),
  )
})
