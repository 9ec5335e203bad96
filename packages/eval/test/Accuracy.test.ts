import { assert, describe, it, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { Checkpoint, type Question, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Accuracy from "../src/Accuracy.ts"
import * as Micro from "../src/Micro.ts"
import * as Stages from "../src/stages.ts"
import { checkpointPath, hasShared, members, recorded, recordedAccuracy } from "./fixtures.ts"

const options = { maxTokens: 40, stop: [Micro.stop] }

describe("Accuracy.outputOf", () => {
  it.each([
    [" 132\n", ["\n"], "132"],
    [" treinta y uno\nQ: next", ["\n"], "treinta y uno"],
    [" 7", ["\n"], "7"],
    ["a;b\n", ["\n", ";"], "a"],
    [" 1\n2 ", [], "1\n2"],
  ])("reads %j with stops %j as %j", (response, stop, output) => {
    assert.strictEqual(Accuracy.outputOf(response, stop), output)
  })
})

describe("Accuracy.ofItems", () => {
  it.effect("counts each domain by itself", () =>
    Effect.gen(function* () {
      const item = (domain: string, correct: boolean) => ({
        domain,
        prompt: "",
        answer: "",
        output: "",
        correct,
      })
      const accuracy = yield* Accuracy.ofItems([item("a", true), item("b", false), item("a", false)])
      assert.deepStrictEqual(accuracy.domains, [
        { domain: "a", n: 2, correct: 1, accuracy: 0.5 },
        { domain: "b", n: 1, correct: 0, accuracy: 0 },
      ])
      assert.strictEqual(Accuracy.artifact.summary(accuracy), "a 1/2, b 0/1")
    }),
  )

  it.effect("refuses no questions at all", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Accuracy.ofItems([]))
      assert.strictEqual(error.message, "accuracy: no questions were given; give at least one")
      assert.strictEqual(error.blame, "input")
    }),
  )
})

describe.skipIf(!hasShared)("accuracy against the family's record (needs ../shared)", () => {
  layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))((it) => {
    it.effect.each(members)("answers as the reference does and is as often right: %s", (member) =>
      Effect.gen(function* () {
        const model = yield* Checkpoint.open(checkpointPath(member))
        const reference = recorded()
        const questions = reference.map(({ answer, domain, question }): Question.Question => ({
          domain,
          prompt: Micro.prompt(question),
          answer,
        }))
        const accuracy = yield* Stages.accuracy.run({ model, questions: [questions] }, options)
        const different = accuracy.items.filter(
          ({ output }, index) => output !== reference[index]?.outputs[member],
        )
        assert.isAtMost(different.length / reference.length, 0.005, JSON.stringify(different))
        const shares = accuracy.domains.map(({ accuracy: share, domain }) => [
          domain,
          Number(share.toFixed(4)),
        ])
        assert.deepStrictEqual(Object.fromEntries(shares), recordedAccuracy()[member])
      }),
    )
  })
})
