import { assert, describe, it } from "@effect/vitest"
import { adaptiveWeights, fuse, linear, MergeError, prune, taskArithmetic } from "@hila/merge"
import * as Recipe from "@hila/merge/Recipe"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Meaning from "../src/plan/Meaning.ts"
import { list, micro, scratch, table } from "./support.ts"

type Changes = Readonly<Record<string, unknown>>

/** The same checkpoint with other values in its config; undefined takes a key out. */
const changed = (checkpoint: Checkpoint.Checkpoint, changes: Changes): Checkpoint.Checkpoint => ({
  ...checkpoint,
  config: JSON.parse(JSON.stringify({ ...checkpoint.config, ...changes })),
})

/** What `b` does not mean as `a`: grave ones with a `!` in front. */
const between = (a: Changes, b: Changes) =>
  Effect.gen(function* () {
    const model = yield* micro("base")
    const found = yield* Meaning.mismatches(changed(model, a), changed(model, b))
    return found.map((each) => `${each.grave ? "!" : ""}${each.what}: ${each.a} | ${each.b}`)
  })

const halves = { num_attention_heads: 16, num_key_value_heads: 8, head_dim: 8 }
const theta = (rope_theta: number, more: object = {}) => ({
  rope_parameters: { rope_theta, rope_type: "default", ...more },
})
const older = (rope_theta: number, rope_scaling: object | null) => ({
  rope_parameters: undefined,
  rope_theta,
  rope_scaling,
})
const linearScaling = { rope_type: "linear", factor: 4 }
/** A type that has no record, so that keys are compared. */
const unheard = { model_type: "unheard" }
const windowed = { model_type: "gemma2", sliding_window: 64 }

/** Two configs over the same tensors, and what differs between them. */
const cases: ReadonlyArray<readonly [name: string, a: Changes, b: Changes, found: ReadonlyArray<string>]> = [
  [
    "heads of half the size (20-heads-differ)",
    {},
    halves,
    [
      "!query heads: 8 | 16",
      "!key-value heads: 4 | 8",
      "!entries of a head: 16 | 8",
      `!scale of attention scores: 0.25 | ${8 ** -0.5}`,
      "!rotated entries of a head: 16 | 8",
    ],
  ],
  ["key-value heads alone", {}, { num_key_value_heads: 2, head_dim: 16 }, ["!key-value heads: 4 | 2"]],
  ["an explicit head_dim that is the implied one", {}, { head_dim: undefined }, []],
  ["an activation of another family", {}, { hidden_act: "relu" }, ["!activation: silu | relu"]],
  [
    "the two forms of one activation",
    { hidden_act: "gelu" },
    { hidden_act: "gelu_new" },
    ["activation: gelu | geluTanh"],
  ],
  [
    "the kind of norm",
    {},
    { model_type: "gemma", hidden_act: "silu", hidden_activation: "silu" },
    [
      "!scale of embeddings: 1 | 11.313708498984761",
      "!kind of norm: rms | rmsPlusOne",
      "model_type: llama | gemma",
    ],
  ],
  [
    "a multiplier",
    { model_type: "granite", attention_multiplier: 0.25 },
    { model_type: "granite", attention_multiplier: 0.25, residual_multiplier: 0.5 },
    ["!scale of what layers add: 1 | 0.5"],
  ],
  ["a base of rotation", {}, theta(500_000), ["base of rotation (rope_theta): 10000 | 500000"]],
  [
    "a scaling of rotation",
    {},
    theta(10_000, linearScaling),
    ['scaling of rotation (rope_scaling): none | {"type":"linear","factor":4}'],
  ],
  [
    "scalings of two kinds, each part by its name",
    theta(10_000, linearScaling),
    theta(10_000, { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64, truncate: true }),
    [
      "scaling of rotation (rope_scaling): linear | yarn",
      "scaling of rotation (rope_scaling.betaFast): none | 32",
      "scaling of rotation (rope_scaling.betaSlow): none | 1",
      "scaling of rotation (rope_scaling.originalPositions): none | 64",
      "scaling of rotation (rope_scaling.truncate): none | true",
      "scaling of rotation (rope_scaling.attentionFactor): none | 1.138629436111989",
    ],
  ],
  ["rotation in two generations of keys", theta(10_000), older(10_000, null), []],
  [
    "a scaling in two generations of keys",
    theta(10_000, linearScaling),
    older(10_000, { type: "linear", factor: 4 }),
    [],
  ],
  [
    "no scaling and none that is null",
    older(10_000, null),
    { rope_parameters: undefined, rope_theta: 10_000 },
    [],
  ],
  ["ε of norms", {}, { rms_norm_eps: 1e-6 }, ["ε of norms: 0.00001 | 0.000001"]],
  [
    "a type that computes alike",
    {},
    { model_type: "mistral", sliding_window: null },
    ["model_type: llama | mistral"],
  ],
  [
    "a window",
    { model_type: "mistral", sliding_window: null },
    { model_type: "mistral", sliding_window: 4096 },
    ["reach of attention (a window's): none | 4095"],
  ],
  [
    "windows that changed places",
    windowed,
    {
      ...windowed,
      layer_types: ["full_attention", "sliding_attention", "full_attention", "sliding_attention"],
    },
    [
      "!windows in layers: 0, 2 | 1, 3",
      "reach of attention (a window's): 63 | none",
      "reach of attention (a window's): none | 63",
    ],
  ],
  ["a cap", windowed, { ...windowed, final_logit_softcapping: null }, ["cap of logits: 30 | none"]],
  [
    "a longer text and other tokens at its ends",
    {},
    { max_position_embeddings: 1024, eos_token_id: [2, 5] },
    [],
  ],
  [
    "layers that do not rotate",
    { model_type: "smollm3" },
    { model_type: "smollm3", no_rope_layers: [0, 1, 1, 1] },
    [
      `!rotation: {"theta":10000,"dims":16,"pairs":"halves"} | none`,
      `!rotation: none | {"theta":10000,"dims":16,"pairs":"halves"}`,
    ],
  ],
  [
    "heads, without a record",
    unheard,
    { ...unheard, ...halves },
    ["!head_dim: 16 | 8", "!num_attention_heads: 8 | 16", "!num_key_value_heads: 4 | 8"],
  ],
  [
    "a key that one config leaves to its class, without a record",
    unheard,
    { ...unheard, head_dim: undefined },
    [],
  ],
  ["another type, without a record", {}, unheard, ['!model_type: "llama" | "unheard"']],
  [
    "a text model inside one of several, without a record",
    {
      ...unheard,
      num_attention_heads: undefined,
      text_config: { model_type: "unheard_text", num_attention_heads: 8 },
    },
    { model_type: "unheard_text", num_attention_heads: 16 },
    ["!num_attention_heads: 8 | 16"],
  ],
  [
    "a section of two, without a record",
    { ...unheard, vision_config: { num_heads: 4 } },
    { ...unheard, vision_config: { num_heads: 2 } },
    ["!vision_config.num_heads: 4 | 2"],
  ],
  [
    "rotation, without a record",
    unheard,
    { ...unheard, ...theta(1_000_000, { rope_type: "longrope", factor: 32 }) },
    ["rope_theta: 10000 | 1000000", 'rope_scaling: none | {"factor":32,"rope_type":"longrope"}'],
  ],
  [
    "rotation in two generations of keys, without a record",
    { ...unheard, ...theta(10_000) },
    { ...unheard, ...older(10_000, null) },
    [],
  ],
  [
    "the share that is rotated, in two generations",
    { ...unheard, ...theta(10_000, { partial_rotary_factor: 0.5 }) },
    { ...unheard, ...older(10_000, null), partial_rotary_factor: 0.5 },
    [],
  ],
  [
    "another share that is rotated",
    { ...unheard, partial_rotary_factor: 0.5 },
    { ...unheard, partial_rotary_factor: 0.25 },
    ["!partial_rotary_factor: 0.5 | 0.25"],
  ],
  [
    "kinds of layers, without a record",
    { ...unheard, layer_types: ["mamba", "attention"] },
    { ...unheard, layer_types: ["attention", "mamba"] },
    ['!layer_types: ["mamba","attention"] | ["attention","mamba"]'],
  ],
  [
    "ε, windows and caps, without a record",
    { ...unheard, sliding_window: 64, logit_softcap: 30 },
    { ...unheard, sliding_window: 128, logit_softcap: 20, rms_norm_eps: 1e-6 },
    ["rms_norm_eps: 0.00001 | 0.000001", "sliding_window: 64 | 128", "logit_softcap: 30 | 20"],
  ],
]

describe("equal shapes mean", () => {
  for (const [name, a, b, expected] of cases) {
    const same =
      expected.length === 0 ? "the same" : expected[0]!.startsWith("!") ? "other things" : "nearly the same"
    it.effect(`${same} with ${name}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* between(a, b), expected)
        assert.lengthOf(yield* between(b, a), expected.length)
        assert.deepStrictEqual(yield* between(b, b), [])
      }),
    )
  }
})

/** A copy of a micro model with other values in its config. */
const copy = (directory: string, name: string, changes: Changes) => {
  const to = join(directory, name)
  mkdirSync(directory, { recursive: true })
  cpSync(fileURLToPath(new URL("../../../fixtures/micro/base", import.meta.url)), to, { recursive: true })
  const config = JSON.parse(readFileSync(join(to, "config.json"), "utf8")) as object
  writeFileSync(join(to, "config.json"), JSON.stringify({ ...config, ...changes }))
}

const written = Effect.fnUntraced(function* (changes: Changes, more = "", options: Recipe.Options = {}) {
  const directory = yield* scratch
  copy(directory, "a", {})
  copy(directory, "b", changes)
  const recipe = join(directory, "recipe.yml")
  writeFileSync(
    recipe,
    `merge_method: linear\nmodels:\n  - {model: a, parameters: {weight: 0.5}}\n  - {model: b, parameters: {weight: 0.5}}\n${more}`,
  )
  const outcome = yield* Effect.result(Recipe.mergeRecipe(recipe, join(directory, "out"), options))
  return { directory, outcome, card: join(directory, "out", "README.md") }
})

describe("a recipe over models whose equal shapes mean other things", () => {
  it.effect("is refused at the model, with both values, and nothing is written (20-heads-differ)", () =>
    Effect.gen(function* () {
      const { directory, outcome } = yield* written(halves)
      assert.strictEqual(outcome._tag, "Failure")
      if (outcome._tag !== "Failure") return
      assert.strictEqual(
        outcome.failure.message,
        `${directory}/recipe.yml:4:5: b: its tensors have the shapes of a but mean other things: query heads 16, expected 8; key-value heads 8, expected 4; entries of a head 8, expected 16; and 2 more; accept: [architecture] (--accept architecture) merges them all the same, under the config of a`,
      )
      assert.strictEqual(outcome.failure.blame, "input")
      assert.deepStrictEqual((yield* list(directory)).toSorted(), ["a", "b", "recipe.yml"])
    }),
  )

  for (const [way, more, options] of [
    ["its key accept", "accept: [architecture]\n", {}],
    ["the option of that name", "", { accept: ["architecture"] }],
  ] as const) {
    it.effect(`is merged by ${way}, and card and report tell what differs`, () =>
      Effect.gen(function* () {
        const notes: Array<string> = []
        const onReport = (report: Recipe.Report.Report) => notes.push(...report.notes)
        const { card, outcome } = yield* written(halves, more, { ...options, onReport })
        assert.strictEqual(outcome._tag, "Success")
        const line = "b has query heads 16, expected 8 as in a, whose config the result gets"
        assert.include(notes, line)
        assert.include(readFileSync(card, "utf8"), `- ${line}\n`)
      }),
    )
  }

  it.effect("is merged and told where fine-tunes may differ", () =>
    Effect.gen(function* () {
      const { card, outcome } = yield* written({ ...theta(500_000), rms_norm_eps: 1e-6 })
      assert.strictEqual(outcome._tag, "Success")
      const text = readFileSync(card, "utf8")
      assert.include(text, "b has base of rotation (rope_theta) 500000, expected 10000 as in a")
      assert.include(text, "b has ε of norms 0.000001, expected 0.00001 as in a")
    }),
  )

  it.effect("has no note where configs say the same in other words", () =>
    Effect.gen(function* () {
      const { card, outcome } = yield* written({
        rope_parameters: null,
        rope_theta: 10_000,
        rope_scaling: null,
      })
      assert.strictEqual(outcome._tag, "Success")
      assert.notInclude(readFileSync(card, "utf8"), "## Notes")
    }),
  )
})

describe("merging functions", () => {
  it.effect("refuse models whose equal shapes mean other things, before anything is written", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const [math, other] = [yield* micro("math"), changed(yield* micro("code"), halves)]
      const directory = yield* scratch
      const to = join(directory, "out")
      const importance = yield* table(base)
      const weights = yield* adaptiveWeights({ importance: [importance] }, { temperature: 1 })
      const refused: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
        linear: linear({ models: [base, other] }, { weights: [0.5, 0.5] }, to),
        taskArithmetic: taskArithmetic({ base, experts: [math, other] }, { lambda: 1 }, to),
        prune: prune(
          { base, expert: other, importance },
          { density: 0.5, dropFraction: 0, gamma: 1, rhoMin: 0.05 },
          to,
        ),
        fuse: fuse({ base, experts: [other], masks: [], weights }, { lambda: 1 }, to),
        merge: Recipe.merge({ models: [base, other] }, { method: "linear" }, to),
      }
      for (const [name, effect] of Object.entries(refused)) {
        const error = yield* Effect.flip(effect)
        assert.instanceOf(error, MergeError, name)
        assert.include(error.message, "query heads 16, expected 8", name)
        assert.deepStrictEqual(yield* list(directory), [], name)
      }
      yield* Recipe.merge({ models: [base, other] }, { method: "linear", accept: ["architecture"] }, to)
    }),
  )
})
