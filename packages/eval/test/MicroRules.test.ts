import { assert, describe, it } from "@effect/vitest"
import * as MicroRules from "../src/MicroRules.ts"
import { hasShared, recorded } from "./fixtures.ts"

describe("MicroRules", () => {
  it.each([
    ["87+45", "132"],
    ["42-42", "0"],
    ["max(7,31)", "31"],
    ["rev('abc')", "cba"],
    ["sort('hgaab')", "aabgh"],
    ["upper('face')", "FACE"],
    ["len('abcdefg')", "7"],
    ["uniq('abacab')", "abc"],
    ["next('aah')", "bbi"],
    ["dup('bad')", "badbad"],
    ["fr 71", "soixante et onze"],
    ["num zh 二十一", "21"],
  ])("answers %s with %s", (question, answer) => {
    assert.strictEqual(MicroRules.solve(question), answer)
  })

  it.each([
    "",
    "1+1+1",
    "12-34",
    "100+1",
    "rev('xyz')",
    "rev('ab')",
    "odd('abc')",
    "it 12",
    "num de veinte",
    "es doce+tres",
  ])("knows that %j is no micro question", (question) => {
    assert.isUndefined(MicroRules.solve(question))
  })

  it("counts the sides as listing all questions would", () => {
    assert.strictEqual(MicroRules.count("lang", "heldOut"), 78)
    assert.strictEqual(MicroRules.count("lang", "train"), 800 - 78)
    assert.strictEqual(MicroRules.count("math", "train") + MicroRules.count("math", "heldOut"), 25_050)
    const strings = [3, 4, 5, 6, 7].reduce((sum, length) => sum + 8 ** length, 0)
    assert.strictEqual(MicroRules.count("code", "train") + MicroRules.count("code", "heldOut"), 7 * strings)
  })

  describe.skipIf(!hasShared)("against the family's recorded questions (needs ../shared)", () => {
    it("holds out each of them", () => {
      for (const { question } of recorded())
        assert.strictEqual(MicroRules.side(question), "heldOut", question)
    })

    it("computes each answer from the question", () => {
      for (const { answer, question } of recorded())
        assert.strictEqual(MicroRules.solve(question), answer, question)
    })
  })
})
