/** Values of a recipe, read as mergekit 0.1.5 reads them: `tools/oracles/recipe_scalars.py`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import * as RecipeFile from "../src/recipe/RecipeFile.ts"
import * as Scalar from "../src/recipe/Scalar.ts"
import * as Value from "../src/plan/Value.ts"

const Reading = Schema.NullOr(Schema.Union([Schema.Finite, Schema.Boolean, Schema.String]))
const Table = Schema.fromJsonString(
  Schema.Struct({
    scalars: Schema.Array(
      Schema.Struct({
        text: Schema.String,
        number: Reading,
        half: Reading,
        flag: Reading,
        integer: Reading,
        force: Reading,
      }),
    ),
    dtypes: Schema.Record(Schema.String, Schema.NullOr(Schema.String)),
  }),
)
const table = Schema.decodeUnknownSync(Table)(
  readFileSync(new URL("fixtures/recipe-scalars.json", import.meta.url), "utf8"),
)

const head = "merge_method: linear\nmodels: [{model: a}]\n"
const subject: Value.Subject = { tensor: "norm.weight", layer: undefined, t: 0.5 }

/** What a recipe comes to, or null where it is refused. */
const orNull = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A | null> =>
  Effect.orElseSucceed(effect, () => null)

const read = (text: string) => orNull(RecipeFile.parse(text, "recipe.yml"))

/** A parameter's value for the middle of the layers. */
const parameter = (text: string, isNumeric: boolean) =>
  Effect.map(read(`${head}parameters: {weight: ${text}}\n`), (found) => {
    const weight = found?.recipe.parameters?.["weight"]
    const value = weight === undefined ? undefined : Value.at(weight, subject, [], isNumeric)?.value
    return value === undefined ? null : ((isNumeric ? Scalar.toNumber(value) : Scalar.toFlag(value)) ?? null)
  })

/** Infinities and NaN are texts in the table; a number that is not finite is refused here. */
const finite = (value: typeof Reading.Type) => (typeof value === "string" ? null : value)

describe("scalars of a recipe are what mergekit 0.1.5 makes of them", () => {
  it.effect.each(table.scalars)("$text", ({ flag, force, half, integer, number, text }) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* parameter(text, true), finite(number), "a number")
      assert.strictEqual(yield* parameter(`[0, ${text}]`, true), finite(half), "half of a gradient")
      assert.strictEqual(yield* parameter(text, false), flag, "true or false")
      const layers = yield* read(
        `merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, ${text}]}]}]\n`,
      )
      // Wider than there: 1e3 is a whole number. A layer below zero is none.
      const whole = /e\d+$/.test(text) ? number : integer
      const layer = typeof whole === "number" && whole < 0 ? null : whole
      assert.strictEqual(layers?.recipe.slices?.[0].sources[0].layer_range[1] ?? null, layer, "a layer")
      const tokens = yield* read(`${head}tokenizer: {tokens: {x: {source: a, force: ${text}}}}\n`)
      assert.strictEqual(tokens?.recipe.tokenizer?.tokens?.["x"]?.force ?? null, force, "a flag")
    }),
  )

  it.effect.each(Object.entries(table.dtypes))("dtype: %s (21b-yaml-dtype-torch)", ([text, dtype]) =>
    Effect.gen(function* () {
      for (const key of ["dtype", "out_dtype"] as const) {
        const found = yield* read(`${head}${key}: ${text}\n`)
        assert.strictEqual(found?.recipe[key] ?? null, dtype)
      }
    }),
  )

  it.effect("and where a text belongs they are the text as it stands", () =>
    Effect.gen(function* () {
      const { recipe } = yield* RecipeFile.parse(
        `merge_method: linear\nmodels: [{model: 010}, {model: no}, {model: 1e-3}, {model: 2024-01-01}]\ntokenizer: {tokens: {1: {source: 1_0}}}\n`,
        "recipe.yml",
      )
      assert.deepStrictEqual(
        recipe.models?.map(({ model }) => model),
        ["010", "no", "1e-3", "2024-01-01"],
      )
      assert.deepStrictEqual(recipe.tokenizer?.tokens, { 1: { source: "1_0" } })
    }),
  )
})
