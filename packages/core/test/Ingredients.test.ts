import { Canonical, Ingredients } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"

const ingredients: Ingredients.Ingredients = {
  stage: "prune",
  version: 1,
  params: { density: 0.5, scope: "global" },
  inputs: { base: "aa", experts: ["bb", "cc"] },
  output: "mask",
}

describe("Ingredients", () => {
  it("has a key that never changes for given ingredients", () => {
    // sha256 of `hila/1 {"inputs":{"base":"aa","experts":["bb","cc"]},"output":"mask","params":{…},"stage":"prune","version":1}`
    assert.strictEqual(
      Ingredients.key(ingredients),
      "58835828b70ff4b6840b340f25fd5462e76bcd297ee849edffbfb6063c10ed82",
    )
  })

  it("has a key that ignores the order of properties", () => {
    const reordered: Ingredients.Ingredients = {
      output: "mask",
      inputs: { experts: ["bb", "cc"], base: "aa" },
      params: { scope: "global", density: 0.5 },
      version: 1,
      stage: "prune",
    }
    assert.strictEqual(Ingredients.key(reordered), Ingredients.key(ingredients))
  })

  it("has another key as soon as any ingredient differs", () => {
    const variants: ReadonlyArray<Ingredients.Ingredients> = [
      { ...ingredients, stage: "fuse" },
      { ...ingredients, version: 2 },
      { ...ingredients, params: { ...ingredients.params, density: 0.4 } },
      { ...ingredients, params: { density: 0.5 } },
      { ...ingredients, inputs: { ...ingredients.inputs, base: "ab" } },
      { ...ingredients, inputs: { base: "aa", experts: ["cc", "bb"] } },
      { ...ingredients, output: "weights" },
    ]
    const keys = new Set([ingredients, ...variants].map(Ingredients.key))
    assert.strictEqual(keys.size, variants.length + 1)
  })

  it.effect.prop("reads canonical JSON back as the same value", { value: Schema.Json }, ({ value }) =>
    Effect.sync(() => {
      const text = Canonical.stringify(value)
      assert.deepStrictEqual(JSON.parse(text), value)
      assert.strictEqual(Canonical.stringify(JSON.parse(text)), text)
    }),
  )
})
