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
      { ...ingredients, environment: { kernel: "cpu" } },
      { ...ingredients, environment: { kernel: "cuda" } },
    ]
    const keys = new Set([ingredients, ...variants].map(Ingredients.key))
    assert.strictEqual(keys.size, variants.length + 1)
  })

  it("has a key that never changes for given ingredients with an environment", () => {
    // sha256 of `hila/1 {"environment":{"kernel":"cpu"},"inputs":{},"output":"mask","params":{},"stage":"prune","version":1}`
    assert.strictEqual(
      Ingredients.key({
        stage: "prune",
        version: 1,
        params: {},
        inputs: {},
        output: "mask",
        environment: { kernel: "cpu" },
      }),
      "cf04301a07ef36f21d5a4e064311f82af7ea9dd590db487d5abd26e8ffe53c01",
    )
  })

  const Anything = Schema.Struct({
    stage: Schema.String,
    version: Schema.Int,
    params: Schema.Record(Schema.String, Schema.Json),
    inputs: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)])),
    output: Schema.String,
  })

  /** The same value, every object's properties set in the opposite order. */
  const reversed = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(reversed)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .toReversed()
              .map(([name, field]) => [name, reversed(field)]),
          )
        : value

  it.effect.prop(
    "has a key that ignores the order of properties, however deep",
    { any: Anything },
    ({ any }) =>
      Effect.sync(() => {
        const other = Schema.decodeUnknownSync(Anything)(reversed(any))
        assert.strictEqual(Ingredients.key(other), Ingredients.key(any))
      }),
  )

  it.effect.prop("has the same key only for the same ingredients", { a: Anything, b: Anything }, ({ a, b }) =>
    Effect.sync(() => {
      const isSame = Canonical.stringify(a) === Canonical.stringify(b)
      assert.strictEqual(Ingredients.key(a) === Ingredients.key(b), isSame)
      const { params, version } = a
      assert.notStrictEqual(Ingredients.key({ ...a, version: version + 1 }), Ingredients.key(a))
      assert.notStrictEqual(Ingredients.key({ ...a, stage: `${a.stage}'` }), Ingredients.key(a))
      assert.notStrictEqual(Ingredients.key({ ...a, output: `${a.output}'` }), Ingredients.key(a))
      assert.notStrictEqual(
        Ingredients.key({ ...a, params: { ...params, "new one": 1 } }),
        Ingredients.key(a),
      )
      assert.notStrictEqual(
        Ingredients.key({ ...a, inputs: { ...a.inputs, "new one": "d" } }),
        Ingredients.key(a),
      )
    }),
  )

  it.effect.prop("reads canonical JSON back as the same value", { value: Schema.Json }, ({ value }) =>
    Effect.sync(() => {
      const text = Canonical.stringify(value)
      assert.deepStrictEqual(JSON.parse(text), value)
      assert.strictEqual(Canonical.stringify(JSON.parse(text)), text)
    }),
  )
})
