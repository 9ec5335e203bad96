import { assert, describe, it } from "@effect/vitest"
import { jsonSchema } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import * as RecipeFile from "../src/recipe/RecipeFile.ts"
import * as Reference from "../src/recipe/Reference.ts"
import * as Value from "../src/plan/Value.ts"

const mistake = (text: string) =>
  Effect.map(Effect.flip(RecipeFile.parse(text, "recipe.yml")), ({ message }) => message)

const mistakes: ReadonlyArray<readonly [title: string, text: string, line: string]> = [
  [
    "an unknown method",
    "merge_method: dare-ties\nmodels: [{model: a}]\n",
    'recipe.yml:1:15: merge_method: there is no "dare-ties", did you mean "dare_ties"?',
  ],
  [
    "a mistyped key at the top",
    "merge_method: ties\nmodelss: []\n",
    'recipe.yml:2:1: unknown key "modelss" in the recipe, did you mean "models"?',
  ],
  [
    "a recipe of a mixture of experts",
    "base_model: a\ngate_mode: hidden\nexperts:\n- {source_model: b, positive_prompts: [c]}\n",
    'recipe.yml:2:1: "gate_mode" is a key of recipes for mixtures of experts (mergekit-moe): models are merged here, and not joined to a mixture',
  ],
  [
    "a search for recipes",
    "genome: {models: [a, b], merge_method: ties}\ntasks: []\n",
    'recipe.yml:1:1: "genome" is a key of searches for recipes (mergekit-evolve): a recipe of one merge is expected, a search over its numbers is hila sweep',
  ],
  [
    "a mistyped key of a model",
    "merge_method: ties\nmodels:\n- model: a\n  paramters: {weight: 1}\n",
    'recipe.yml:4:3: unknown key "paramters" in model 1, did you mean "parameters"?',
  ],
  [
    "a mistyped key of a tokenizer",
    "merge_method: ties\nmodels: [{model: a}]\ntokenizer: {sorce: union}\n",
    'recipe.yml:3:13: unknown key "sorce" in tokenizer, did you mean "source"?',
  ],
  [
    "a missing key",
    "models: [{model: a}]\n",
    'recipe.yml:1:1: the recipe: the key "merge_method" is missing',
  ],
  [
    "a word where a number belongs",
    "merge_method: ties\nmodels: [{model: a}]\nseed: lots\n",
    'recipe.yml:3:7: seed: expected a number, got "lots"',
  ],
  [
    "a range of three",
    "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1, 2]}\n",
    "recipe.yml:4:29: layer_range: expected 2 in the list, got 3",
  ],
  [
    "a base that is a list",
    "merge_method: ties\nbase_model: [a, b]\nmodels: [{model: c}]\n",
    "recipe.yml:2:13: base_model: expected a text, keys and values, got a list",
  ],
  [
    "a key given twice",
    "merge_method: ties\nbase_model: a\nbase_model: b\n",
    "recipe.yml:3:1: the key base_model is there twice: keep one of them",
  ],
  [
    "an alias of nothing",
    "merge_method: ties\nmodels: *them\n",
    "recipe.yml:2:9: there is no anchor &them above *them",
  ],
  [
    "an alias inside of what it names",
    "merge_method: ties\nmodels: &them [*them]\n",
    "recipe.yml:2:16: *them stands in what it names",
  ],
  [
    "a second document",
    "merge_method: ties\n---\nmerge_method: linear\n",
    "recipe.yml:2:1: a second document begins here: a file holds one recipe",
  ],
  [
    "a fraction where a whole number belongs",
    "merge_method: ties\nmodels: [{model: a}]\nseed: 1.5\n",
    "recipe.yml:3:7: seed: expected an integer, got 1.5",
  ],
  [
    "a fraction of a layer",
    "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1.5]}\n",
    "recipe.yml:4:33: layer_range 2: expected an integer, got 1.5",
  ],
  [
    "a weight that is no number",
    "merge_method: linear\nmodels: [{model: a, parameters: {weight: .nan}}]\n",
    "recipe.yml:2:42: weight: expected a finite number, got NaN",
  ],
  [
    "an unknown dtype",
    "merge_method: ties\ndtype: bf16\n",
    'recipe.yml:2:8: dtype: there is no "bf16"; known: float32, float16, bfloat16, float64',
  ],
  [
    "a mistyped key, though it holds an anchor that nothing names",
    "merge_method: ties\nmodels: [{model: a}]\ndtyp: &D bfloat16\n",
    'recipe.yml:3:1: unknown key "dtyp" in the recipe, did you mean "dtype"?',
  ],
  [
    "an unknown key without an anchor",
    "merge_method: ties\nmodels: [{model: a}]\nconst_tag: 0.5\n",
    'recipe.yml:3:1: unknown key "const_tag" in the recipe; known: merge_method, models, slices, modules, base_model, parameters, layer_weights, unit_weights, base_statistics, methods, dtype, out_dtype, tokenizer_source, tokenizer, chat_template, accept, profile, seed',
  ],
  [
    "an anchor in an unknown key of a model",
    "merge_method: ties\nmodels: [{model: a, half: &H 0.5, parameters: {weight: *H}}]\n",
    'recipe.yml:2:21: unknown key "half" in model 1; known: model, parameters, mask, statistics',
  ],
  [
    "a mistyped key that << brings in",
    "x-all: &A {paramters: {weight: 1}}\nmerge_method: linear\nmodels: [{model: a, <<: *A}]\n",
    'recipe.yml:1:12: unknown key "paramters" in model 1, did you mean "parameters"?',
  ],
  [
    "a << of a text",
    "merge_method: linear\nmodels: [{model: a, <<: b}]\n",
    "recipe.yml:2:21: <<: expected keys and values, or a list of such",
  ],
  [
    "a key that is a list",
    "merge_method: linear\n? [a, b]\n: 1\n",
    "recipe.yml:2:3: keys must be plain words",
  ],
  [
    "aliases that unfold without end",
    `x-a: &A [${"1, ".repeat(200)}]\nx-b: &B {model: a, parameters: {${Array.from({ length: 600 }, (_, i) => `p${i}: *A`).join(", ")}}}\nmerge_method: linear\nmodels: [*B, *B]\n`,
    "recipe.yml:1:298: the recipe unfolds to more than 100000 values",
  ],
  ["an empty file", "", "recipe.yml:1:1: expected a recipe: keys such as merge_method and models"],
]

describe("a mistake in a recipe is one line with its place", () => {
  for (const [title, text, line] of mistakes) {
    it.effect(title, () => Effect.map(mistake(text), (message) => assert.strictEqual(message, line)))
  }
})

describe("recipes", () => {
  it.effect("may use anchors, merge keys and comments", () =>
    Effect.gen(function* () {
      const { recipe } = yield* RecipeFile.parse(
        "merge_method: linear # average\nmodels:\n- model: a\n  parameters: &p {weight: 1}\n- model: b\n  parameters: {<<: *p}\n- {model: c, parameters: *p}\n",
        "recipe.yml",
      )
      assert.deepStrictEqual(
        recipe.models?.map(({ parameters }) => parameters),
        [{ weight: 1 }, { weight: 1 }, { weight: 1 }],
      )
    }),
  )

  it.effect("may have keys that only hold anchors, also the same twice (21-yaml-anchors)", () =>
    Effect.gen(function* () {
      const text = [
        "const_tag: &FIRST a",
        "const_tag: &SECOND b",
        "const_tag: &HALF 0.5",
        "const_tag: &UNUSED 0.7",
        "shared-env: &ENV",
        "  parameters: {scale: [{filter: q_proj, value: *HALF}, {value: 1.0}]}",
        "x-others: [&OTHER {parameters: {scale: 2}}, 1]",
        "merge_method: passthrough",
        "slices:",
        "- sources: [{model: *FIRST, layer_range: [0, 3]}]",
        "- sources: [{model: *SECOND, layer_range: [1, 4], <<: *ENV}]",
        "- sources: [{model: *HALF, layer_range: [1, 4], <<: [*OTHER, *ENV]}]",
        "- sources: [{model: a, parameters: {}, layer_range: [1, 4], <<: *ENV}]",
        "",
      ].join("\n")
      const { errorAtKey, notes, recipe } = yield* RecipeFile.parse(text, "recipe.yml")
      const scale = [{ filter: "q_proj", value: 0.5 }, { value: 1 }]
      assert.deepStrictEqual(
        recipe.slices?.map(({ sources: [source] }) => source),
        [
          { model: "a", layer_range: [0, 3] },
          { model: "b", layer_range: [1, 4], parameters: { scale } },
          { model: "0.5", layer_range: [1, 4], parameters: { scale: 2 } },
          { model: "a", parameters: {}, layer_range: [1, 4] },
        ],
      )
      assert.deepStrictEqual(notes, [
        "keys that do nothing but hold anchors: const_tag, shared-env, x-others",
      ])
      // What << brings in has its place where it stands.
      const path = ["slices", 1, "sources", 0, "parameters", "scale"]
      assert.strictEqual(errorAtKey(path, "x").message, "recipe.yml:6:16: x")
    }),
  )

  it.effect("may begin with a version of YAML and hold texts of several lines", () =>
    Effect.gen(function* () {
      const { recipe } = yield* RecipeFile.parse(
        "%YAML 1.2\n---\nmerge_method: linear\nmodels: [{model: a, parameters: {weight: 010}}]\nchat_template: |\n  {{ a }}\n  {{ b }}\ndtype:\n",
        "recipe.yml",
      )
      assert.deepStrictEqual(recipe, {
        merge_method: "linear",
        models: [{ model: "a", parameters: { weight: 8 } }],
        chat_template: "{{ a }}\n{{ b }}\n",
        dtype: null,
      })
    }),
  )

  it.effect("may give an anchor anew, and name it where kinds differ", () =>
    Effect.gen(function* () {
      const { recipe } = yield* RecipeFile.parse(
        "x-1: &V 1\nmerge_method: linear\nmodels:\n- {model: *V, parameters: {weight: *V, normalize: *V}}\n- {model: &V b}\n- {model: *V}\n",
        "recipe.yml",
      )
      assert.deepStrictEqual(recipe.models, [
        { model: "1", parameters: { weight: 1, normalize: 1 } },
        { model: "b" },
        { model: "b" },
      ])
    }),
  )

  it("have a JSON Schema that refuses unknown keys where the reader does", () => {
    const schema = JSON.stringify(jsonSchema())
    assert.include(schema, '"additionalProperties":false')
    assert.include(schema, "breadcrumbs_ties")
    assert.include(schema, "pad_to_multiple_of")
  })

  it("name models by path, revision and adapter", () => {
    assert.deepStrictEqual(Reference.parse("org/name@v1+org/lora@v2"), {
      path: "org/name",
      revision: "v1",
      lora: { path: "org/lora", revision: "v2" },
    })
    assert.deepStrictEqual(Reference.parse({ model: { path: "a+b@c" }, lora: "x" }), {
      path: "a+b@c",
      lora: { path: "x" },
    })
    assert.strictEqual(Reference.text(Reference.parse("org/name@v1+lora")), "org/name@v1+lora")
  })

  it("take a + or @ as part of a path where there is such a directory (22-plus-in-a-path)", () => {
    const there = (...directories: ReadonlyArray<string>) => {
      const known = new Set(directories)
      return (reference: Parameters<typeof Reference.parse>[0]) => Reference.parse(reference, known)
    }
    assert.deepStrictEqual(there("dpo+v2")("dpo+v2"), { path: "dpo+v2" })
    assert.deepStrictEqual(there("dpo+v2", "tune")("dpo+v2+tune"), { path: "dpo+v2", lora: { path: "tune" } })
    assert.deepStrictEqual(there("dpo", "a+b")("dpo+a+b"), { path: "dpo", lora: { path: "a+b" } })
    assert.deepStrictEqual(there("a+b")("org/name@v1+a+b"), {
      path: "org/name",
      revision: "v1",
      lora: { path: "a+b" },
    })
    assert.deepStrictEqual(there("m@2")("m@2+x"), { path: "m@2", lora: { path: "x" } })
    assert.deepStrictEqual(there("m@2", "x@3")({ model: "m@2", lora: "x@3" }), {
      path: "m@2",
      lora: { path: "x@3" },
    })
    assert.deepStrictEqual(there("m@2")("m@3"), { path: "m", revision: "3" })
  })
})

describe("values", () => {
  const at = (
    value: Parameters<typeof Value.at>[0],
    tensor: string,
    t: number,
    layer?: number,
    head?: number,
  ) => Value.at(value, { tensor, layer, t, ...(head === undefined ? {} : { head }) }, [])?.value
  const name = "model.layers.3.self_attn.q_proj.weight"

  it("of a gradient lie on the line between its numbers", () => {
    assert.strictEqual(at([0, 0.5, 1], name, 0.25), 0.25)
    assert.strictEqual(at([1, 4], name, 1), 4)
    assert.strictEqual(at([7], name, 0.5), 7)
    assert.strictEqual(at([true, false], name, 0.6), false)
  })

  it("by filter are those of the first that matches", () => {
    const value = [{ filter: "self_attn", value: [0, 1] }, { filter: "mlp", value: 0.3 }, { value: 0.5 }]
    assert.strictEqual(at(value, name, 0.5), 0.5)
    assert.strictEqual(at(value, "model.layers.1.mlp.up_proj.weight", 0.5), 0.3)
    assert.strictEqual(at(value, "model.norm.weight", 0), 0.5)
    assert.isUndefined(at([{ filter: "mlp", value: 1 }], name, 0))
  })

  it("may be filtered by glob, layer and head", () => {
    const matches = (filter: Parameters<typeof Value.matches>[0], head?: number) =>
      Value.matches(filter, { tensor: name, layer: 3, t: 0, ...(head === undefined ? {} : { head }) })
    assert.isTrue(matches("*.q_proj.*"))
    assert.isFalse(matches("q_proj*"))
    assert.isTrue(matches({ tensor: "*self_attn*", layer: { from: 2, to: 4 } }))
    assert.isFalse(matches({ layer: { from: 0, to: 3 } }))
    assert.isTrue(matches({ layer: [1, 3], head: [0, 2] }, 2))
    assert.isFalse(matches({ head: 1 }))
  })
})
