import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Architecture, Checkpoint, ModelConfig } from "../src/index.ts"
import { architectures, hasShared } from "./support/fixtures.ts"

const config = {
  model_type: "llama",
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
}

const shapeOf = (extra: object) => Architecture.resolve({ ...config, ...extra })
const problem = (extra: object) => Effect.map(Effect.flip(shapeOf(extra)), ({ message }) => message)

describe("Architecture", () => {
  it.effect("gives absent keys the defaults of Llama", () =>
    Effect.gen(function* () {
      const shape = yield* shapeOf({})
      assert.deepInclude(shape, {
        kvHeads: 4,
        headDim: 4,
        maxPositions: 2048,
        normEps: 1e-6,
        ropeTheta: 10_000,
        tiedEmbeddings: false,
        eosTokenIds: [],
      })
      assert.deepStrictEqual(shape.tensors, {
        embedding: "model.embed_tokens.weight",
        finalNorm: "model.norm.weight",
        head: "lm_head.weight",
      })
      assert.strictEqual(shape.expected.size, 3 + 2 * 9)
    }),
  )

  it.effect("reads both generations of config.json to the same shape", () =>
    Effect.gen(function* () {
      const newer = yield* shapeOf({
        dtype: "bfloat16",
        rope_parameters: { rope_theta: 5e5, rope_type: "default" },
        eos_token_id: [2, 3],
      })
      const older = yield* shapeOf({
        torch_dtype: "bfloat16",
        rope_theta: 5e5,
        rope_scaling: null,
        head_dim: null,
        eos_token_id: [2, 3],
      })
      assert.strictEqual(newer.ropeTheta, 5e5)
      assert.strictEqual(JSON.stringify(older), JSON.stringify(newer))
      assert.deepStrictEqual([...older.expected], [...newer.expected])
    }),
  )

  it.effect("reads groups, head size, biases and a tied head", () =>
    Effect.gen(function* () {
      const shape = yield* shapeOf({
        num_key_value_heads: 2,
        head_dim: 8,
        attention_bias: true,
        mlp_bias: true,
        tie_word_embeddings: true,
        bos_token_id: 1,
        eos_token_id: 2,
      })
      const layer = shape.layer(1)
      assert.deepStrictEqual(layer.query, {
        weight: "model.layers.1.self_attn.q_proj.weight",
        bias: "model.layers.1.self_attn.q_proj.bias",
      })
      const sizes = (["query", "key", "value", "output", "gate", "up", "down"] as const).map((role) => [
        shape.expected.get(layer[role].weight),
        shape.expected.get(layer[role].bias!),
      ])
      assert.deepStrictEqual(sizes, [
        [[32, 16], [32]],
        [[16, 16], [16]],
        [[16, 16], [16]],
        [[16, 32], [16]],
        [[24, 16], [24]],
        [[24, 16], [24]],
        [[16, 24], [16]],
      ])
      assert.strictEqual(shape.tensors.head, shape.tensors.embedding)
      assert.isFalse(shape.expected.has("lm_head.weight"))
      assert.deepStrictEqual([shape.bosTokenId, shape.eosTokenIds], [1, [2]])
    }),
  )

  it.effect("refuses what the graph does not compute, and says what", () =>
    Effect.gen(function* () {
      assert.match(
        yield* problem({ rope_parameters: { rope_type: "yarn", factor: 4 } }),
        /^config\.json \(model_type "llama"\): rope type 'yarn' is not supported; supported: 'default'/,
      )
      assert.match(yield* problem({ rope_scaling: { type: "linear", factor: 2 } }), /rope type 'linear'/)
      assert.match(
        yield* problem({ rope_parameters: { partial_rotary_factor: 0.5 } }),
        /partial_rotary_factor 0\.5/,
      )
      assert.match(yield* problem({ hidden_act: "gelu" }), /hidden_act 'gelu'/)
      assert.match(yield* problem({ quantization_config: { bits: 4 } }), /quantized weights/)
      assert.match(yield* problem({ num_key_value_heads: 3 }), /4 is no multiple of num_key_value_heads 3/)
      assert.match(
        yield* problem({ num_attention_heads: 3 }),
        /hidden_size 16 is no multiple of num_attention_heads 3/,
      )
      assert.match(yield* problem({ head_dim: 3 }), /head_dim 3 is odd/)
    }),
  )

  it.effect("says in one line which key of a config.json is wrong", () =>
    Effect.gen(function* () {
      for (const extra of [
        { hidden_size: "16" },
        { num_hidden_layers: 0 },
        { vocab_size: 1.5 },
        { rms_norm_eps: -1 },
      ]) {
        const message = yield* problem(extra)
        assert.include(message, Object.keys(extra).join())
        assert.notInclude(message, "\n")
      }
    }),
  )

  it.effect("names the known model types and how to add one", () =>
    Effect.gen(function* () {
      const message = yield* problem({ model_type: "mamba" })
      assert.match(
        message,
        /model_type "mamba"\): unknown model type; known: llama\. To add one, write its record/,
      )
    }),
  )

  it.effect("a config keeps its unknown keys", () =>
    Effect.gen(function* () {
      const decoded = yield* ModelConfig.parse(
        '{"model_type":"x","torch_dtype":null,"foo":{"bar":[1]}}',
        "config.json",
      )
      assert.deepStrictEqual(decoded, { model_type: "x", torch_dtype: null, foo: { bar: [1] } })
    }),
  )

  describe.skipIf(!hasShared)("reference checkpoints (needs ../shared)", () => {
    for (const [name, path] of architectures.filter(([directory]) => directory.startsWith("llama"))) {
      const scaled = { "llama-rope-linear": "linear", "llama3-rope": "llama3" }[name]
      it.effect(
        scaled === undefined
          ? `${name} has the tensors its config asks for and no others`
          : `${name} is refused for its rope type`,
        () =>
          Effect.gen(function* () {
            const checkpoint = yield* Checkpoint.open(path)
            if (scaled !== undefined) {
              return assert.include(
                (yield* Effect.flip(Checkpoint.validate(checkpoint))).message,
                `rope type '${scaled}'`,
              )
            }
            const shape = yield* Checkpoint.validate(checkpoint)
            assert.deepStrictEqual(
              [...shape.expected.keys()].toSorted(),
              [...checkpoint.tensors.keys()].toSorted(),
            )
          }),
      )
    }
  })
})
