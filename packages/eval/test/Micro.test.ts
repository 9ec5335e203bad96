import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Micro from "../src/Micro.ts"
import * as MicroRules from "../src/MicroRules.ts"
import { hasShared, recorded } from "./fixtures.ts"

const prompts = (selection: Micro.Selection) =>
  Effect.map(Micro.questions(selection), (questions) => questions.map(({ prompt }) => prompt))

describe("Micro.questions", () => {
  it.effect.each(MicroRules.domains)(
    "gives distinct, answered %s questions in the family's prompt form",
    (domain) =>
      Effect.gen(function* () {
        const questions = yield* Micro.questions({ domain, side: "train", seed: 1, take: 300 })
        assert.strictEqual(new Set(questions.map(({ prompt }) => prompt)).size, 300)
        for (const question of questions) {
          const bare = /^Q: (.+)\nA:$/.exec(question.prompt)?.[1] ?? ""
          assert.strictEqual(question.domain, domain)
          assert.strictEqual(question.answer, MicroRules.solve(bare))
          assert.notStrictEqual(question.answer, "")
        }
      }),
  )

  it.effect("gives the same questions for the same seed and others for another", () =>
    Effect.gen(function* () {
      const selection = { domain: "math", side: "heldOut", seed: 7, take: 50 } as const
      assert.deepStrictEqual(yield* prompts(selection), yield* prompts(selection))
      assert.notDeepEqual(yield* prompts(selection), yield* prompts({ ...selection, seed: 8 }))
    }),
  )

  it.effect("cuts disjoint pieces with skip and take", () =>
    Effect.gen(function* () {
      const selection = { domain: "code", side: "heldOut", seed: 3 } as const
      const whole = yield* prompts({ ...selection, take: 90 })
      const pieces = yield* Effect.forEach([0, 30, 60], (skip) => prompts({ ...selection, skip, take: 30 }))
      assert.deepStrictEqual(pieces.flat(), whole)
      assert.strictEqual(new Set(pieces.flat()).size, 90)
    }),
  )

  it.effect("keeps train and held-out questions apart", () =>
    Effect.gen(function* () {
      for (const domain of MicroRules.domains) {
        const train = yield* prompts({ domain, side: "train", seed: 1, take: 500 })
        const heldOut = new Set(yield* prompts({ domain, side: "heldOut", seed: 1, take: 500 }))
        assert.isFalse(train.some((prompt) => heldOut.has(prompt)))
      }
    }),
  )

  it.effect("gives all there are where fewer exist: 78 of lang are held out", () =>
    Effect.gen(function* () {
      const selection = { domain: "lang", side: "heldOut", seed: 1 } as const
      const all = yield* prompts({ ...selection, take: 200 })
      assert.strictEqual(new Set(all).size, 78)
      assert.strictEqual((yield* prompts({ ...selection, skip: 70, take: 20 })).length, 8)
      assert.deepStrictEqual(yield* prompts({ ...selection, skip: 78, take: 20 }), [])
    }),
  )

  it.effect("asks for sums, differences and maxima in the stated shares", () =>
    Effect.gen(function* () {
      const asked = yield* prompts({ domain: "math", side: "train", seed: 5, take: 2000 })
      const share = (mark: string) => asked.filter((prompt) => prompt.includes(mark)).length / asked.length
      // Three standard errors of a share of 2000 draws are 0.034; distinctness shifts shares by far less.
      assert.approximately(share("+"), 0.45, 0.034)
      assert.approximately(share("-"), 0.35, 0.034)
      assert.approximately(share("max"), 0.2, 0.034)
    }),
  )

  describe.skipIf(!hasShared)("against the family's recorded questions (needs ../shared)", () => {
    it.effect("has exactly the recorded lang questions held out", () =>
      Effect.gen(function* () {
        const own = yield* prompts({ domain: "lang", side: "heldOut", seed: 1, take: 200 })
        const theirs = recorded().filter(({ domain }) => domain === "lang")
        assert.deepStrictEqual(new Set(own), new Set(theirs.map(({ question }) => Micro.prompt(question))))
      }),
    )
  })
})
