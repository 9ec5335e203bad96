import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import {
  Architecture,
  Checkpoint,
  InterpolatedFisher,
  InterpolatedModel,
  type ModelError,
  Runtime,
  UnitInterventions,
  VirtualMerge,
} from "../src/index.ts"
import * as ModelShape from "../src/architectures/ModelShape.ts"
import { biased } from "./support/biased.ts"
import { architectures, encoders, micro, microBase, temporary } from "./support/fixtures.ts"
import { example } from "./support/models.ts"

const microConfig = JSON.parse(readFileSync(join(microBase, "config.json"), "utf8")) as { model_type: string }
const shapeOf = (changes: object) => Architecture.resolve({ ...microConfig, ...changes })

const gpt2 = { model_type: "gpt2", vocab_size: 320, n_embd: 64, n_layer: 2, n_head: 4, n_positions: 128 }

const query = "model.layers.0.self_attn.q_proj"
const up = "model.layers.0.mlp.gate_proj"

/** What differs between a base and a model whose config.json has other values, and the first line about it. */
const cases: ReadonlyArray<readonly [name: string, changes: object, line: string]> = [
  [
    "biases of attention",
    { attention_bias: true },
    `layers.0.query: expected ${query}.weight without a bias, got ${query}.weight with ${query}.bias`,
  ],
  [
    "biases of the MLP",
    { mlp_bias: true },
    `layers.0.gate: expected ${up}.weight without a bias, got ${up}.weight with ${up}.bias`,
  ],
  ["the number of layers", { num_hidden_layers: 6 }, "layers: expected 4, got 6"],
  ["the number of heads", { num_attention_heads: 4, head_dim: 32 }, "heads: expected 8, got 4"],
  [
    "the base of rotation",
    { rope_parameters: { rope_theta: 5e5, rope_type: "default" } },
    "attention.0.rope.theta: expected 10000, got 500000",
  ],
  ["ε of norms", { rms_norm_eps: 1e-6 }, "normEps: expected 0.00001, got 0.000001"],
  ["a head of its own", { tie_word_embeddings: false }, "tiedEmbeddings: expected true, got false"],
]

describe("the shapes of two models", () => {
  for (const [name, changes, line] of cases) {
    it.effect(`differ in ${name}, whichever is the base`, () =>
      Effect.gen(function* () {
        const [base, other] = [yield* shapeOf({}), yield* shapeOf(changes)]
        const found = ModelShape.difference(base, other)
        assert.strictEqual(found && ModelShape.show(found), line)
        const back = ModelShape.difference(other, base)
        assert.deepStrictEqual(back, { path: found!.path, a: found!.b, b: found!.a })
      }),
    )
  }

  it.effect("differ in the sizes of a tensor that no other number tells, named by the tensor", () =>
    Effect.gen(function* () {
      const [base, longer] = [
        yield* Architecture.resolve(gpt2),
        yield* Architecture.resolve({ ...gpt2, n_positions: 256 }),
      ]
      assert.deepStrictEqual(ModelShape.differences(base, longer), [
        { path: "transformer.wpe.weight", a: [128, 64], b: [256, 64] },
      ])
    }),
  )

  it.effect("differ in every layer that has a window of its own", () =>
    Effect.gen(function* () {
      const gemma = { model_type: "gemma2", num_hidden_layers: 3, head_dim: 16 }
      const [a, b] = [
        yield* shapeOf(gemma),
        yield* shapeOf({ ...gemma, layer_types: Array(3).fill("full_attention") }),
      ]
      assert.deepStrictEqual(ModelShape.differences(a, b), [
        { path: "attention.0.reach", a: 4095, b: undefined },
        { path: "attention.2.reach", a: 4095, b: undefined },
      ])
    }),
  )

  it.effect(
    "are one where only the tokens at the ends, the longest text or the name of the type differ",
    () =>
      Effect.gen(function* () {
        const changes = {
          model_type: "mistral",
          sliding_window: null,
          max_position_embeddings: 512,
          bos_token_id: 7,
          eos_token_id: [2, 9],
        }
        assert.isUndefined(ModelShape.difference(yield* shapeOf({}), yield* shapeOf(changes)))
      }),
  )

  for (const path of [...micro, ...architectures.map(([, own]) => own)]) {
    const needs = micro.includes(path) ? "" : " (needs ../shared)"
    it.effect(`are data, whole behind a copy: ${path.split("/").slice(-2).join("/")}${needs}`, () =>
      Effect.gen(function* () {
        const { config, tensors } = yield* Checkpoint.open(path)
        const read = encoders.has(path.split("/").at(-1)!)
          ? Architecture.resolveEncoder
          : Architecture.resolve
        const shape = yield* read(config, tensors)
        const copy = structuredClone(shape)
        assert.deepStrictEqual(copy, shape)
        assert.deepStrictEqual(ModelShape.differences(shape, copy), [])
        assert.strictEqual(shape.layers.length, shape.attention.length)
        // A copy that lacks one tensor of one layer differs in it.
        const last = copy.layers.at(-1)!
        const other = { ...copy, layers: [...copy.layers.slice(0, -1), { ...last, norms: {} }] }
        assert.include(ModelShape.difference(shape, other)?.path, `layers.${shape.layers.length - 1}.norms`)
      }),
    )
  }
})

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("a base and an expert of which one has biases", (it) => {
  for (const [name, flipped] of [
    ["a base without and an expert with biases", false],
    ["a base with and an expert without biases", true],
  ] as const) {
    it.effect(`are never run as one shape: ${name}`, () =>
      Effect.gen(function* () {
        const [plain, with_] = [yield* Checkpoint.open(microBase), yield* biased(yield* temporary, "math")]
        const [base, expert] = flipped ? [with_, plain] : [plain, with_]
        const [without, has] = [`${query}.weight without a bias`, `${query}.weight with ${query}.bias`]
        const line = `layers.0.query: expected ${flipped ? has : without}, got ${flipped ? without : has}`
        const opened: Readonly<Record<string, Effect.Effect<object, ModelError, Runtime | Scope.Scope>>> = {
          delta: InterpolatedModel.open(base, expert),
          fisher: InterpolatedFisher.open(base, expert),
          moves: UnitInterventions.openMoves({ from: base, base, expert }, [example([1, 42, 71], 1)]),
          "moves from a merged model": UnitInterventions.openMoves({ from: expert, base, expert: base }, [
            example([1, 42, 71], 1),
          ]),
          "virtual merge": VirtualMerge.open(base, [base, expert], () => "all"),
        }
        for (const [way, open] of Object.entries(opened)) {
          const error = yield* Effect.flip(open)
          assert.strictEqual(error.blame, "input", way)
          assert.include(error.message, `is no fine-tune of`, way)
          assert.include(error.message, line, way)
        }
      }),
    )
  }
})
