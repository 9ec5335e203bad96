import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Architecture, Checkpoint, ModelConfig } from "../src/index.ts"
import { architectures, encoders } from "./support/fixtures.ts"

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
        tiedEmbeddings: false,
        bosTokenId: 1,
        eosTokenIds: [2],
      })
      assert.deepStrictEqual(shape.attention[0], {
        scale: 0.5,
        rope: { theta: 10_000, dims: 4, pairs: "halves" },
      })
      assert.deepStrictEqual(shape.tensors, {
        embedding: "model.embed_tokens.weight",
        finalNorm: { weight: "model.norm.weight" },
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
      assert.strictEqual(newer.attention[1]?.rope?.theta, 5e5)
      assert.strictEqual(JSON.stringify(older), JSON.stringify(newer))
      assert.deepStrictEqual([...older.expected], [...newer.expected])
    }),
  )

  it.effect("has no special tokens by default that its vocabulary has not", () =>
    Effect.gen(function* () {
      const { bosTokenId, eosTokenIds } = yield* shapeOf({ model_type: "olmo2", vocab_size: 50_279 })
      assert.deepStrictEqual([bosTokenId, eosTokenIds], [undefined, []])
      const large = yield* shapeOf({ model_type: "olmo2", vocab_size: 50_280 })
      assert.deepStrictEqual(large.eosTokenIds, [50_279])
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
      const layer = shape.layers[1]!
      assert.deepStrictEqual(layer.query, {
        weight: "model.layers.1.self_attn.q_proj.weight",
        bias: "model.layers.1.self_attn.q_proj.bias",
      })
      const sizes = (["query", "key", "value", "output", "gate", "up", "down"] as const).map((role) => [
        shape.expected.get(layer[role]!.weight),
        shape.expected.get(layer[role]!.bias!),
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

  it.effect("refuses what no graph computes, and says what is missing", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [object, RegExp]> = [
        [
          { rope_parameters: { rope_type: "dynamic", factor: 4 } },
          /^config\.json \(model_type "llama"\): rope type 'dynamic' is not supported; supported: default, linear, llama3, yarn$/,
        ],
        [{ rope_scaling: { type: "longrope", short_factor: [1] } }, /rope type 'longrope' is not supported/],
        [{ rope_scaling: { type: "linear" } }, /rope type 'linear' needs a factor/],
        [{ rope_scaling: { type: "llama3", factor: 2 } }, /'llama3' needs low_freq_factor and a larger/],
        [
          { rope_parameters: { rope_type: "linear", factor: 2, mrope_section: [1] } },
          /the key 'mrope_section' under rope \(type 'linear'\) is not supported; supported: rope_theta, /,
        ],
        [{ rope_parameters: { rope_theta: "1e4" } }, /rope: .*rope_theta/],
        [{ rope_parameters: { rope_theta: 1 }, rope_scaling: { type: "default" } }, /are both set/],
        [{ rope_parameters: { partial_rotary_factor: 0.5 } }, /partial_rotary_factor 0\.5/],
        [{ hidden_act: "quick_gelu" }, /hidden_act 'quick_gelu' is not supported; supported: silu, /],
        [{ num_local_experts: 8 }, /num_local_experts 8 asks for a mixture of experts/],
        [{ num_key_value_heads: 3 }, /4 is no multiple of num_key_value_heads 3/],
        [{ num_attention_heads: 3 }, /hidden_size 16 is no multiple of 3 heads/],
        [{ head_dim: 3 }, /head_dim 3 is odd/],
        [{ model_type: "stablelm", qk_layernorm: true }, /qk_layernorm is not supported/],
        [{ model_type: "cohere", use_qk_norm: true }, /use_qk_norm is not supported/],
        [{ model_type: "gemma", use_bidirectional_attention: true }, /use_bidirectional_attention/],
        [{ model_type: "phi3", partial_rotary_factor: 0.3 }, /rotates 1 of 4 entries/],
        [
          { model_type: "phi3", rope_scaling: { type: "yarn", factor: 4 } },
          /rope type 'yarn' of this model type is not supported/,
        ],
        [{ model_type: "smollm3", no_rope_layers: [1] }, /no_rope_layers has 1 entries, expected 2/],
        [{ model_type: "qwen2", layer_types: ["full_attention"] }, /layer_types has 1 entries/],
        [
          { model_type: "gemma3_text", rope_parameters: { full_attention: {}, rope_theta: 1 } },
          /expected full_attention and sliding_attention alone, got 'rope_theta' beside them/,
        ],
      ]
      for (const [extra, expected] of cases) {
        const message = yield* problem(extra)
        assert.match(message, expected)
        assert.notInclude(message, "\n")
      }
    }),
  )

  it.effect("stretches rotary frequencies as the scaling says", () =>
    Effect.gen(function* () {
      const scaled = (rope: object) =>
        Effect.map(
          shapeOf({ rope_scaling: rope, head_dim: 8, max_position_embeddings: 64 }),
          ({ attention }) => attention[0]?.rope?.scaling,
        )
      assert.deepStrictEqual(yield* scaled({ type: "linear", factor: 2 }), { type: "linear", factor: 2 })
      const yarn = { type: "yarn", factor: 4, betaFast: 32, betaSlow: 1, truncate: true } as const
      assert.deepStrictEqual(
        yield* scaled({ type: "yarn", factor: 4, original_max_position_embeddings: 16 }),
        { ...yarn, originalPositions: 16, attentionFactor: 0.1 * Math.log(4) + 1 },
      )
      assert.deepStrictEqual(
        yield* scaled({ rope_type: "yarn", factor: 4, mscale: 1, mscale_all_dim: 1, beta_fast: 16 }),
        { ...yarn, betaFast: 16, originalPositions: 64, attentionFactor: 1 },
      )
    }),
  )

  it.effect("gives some layers a window, another rope or none", () =>
    Effect.gen(function* () {
      const layers = (extra: object) =>
        Effect.map(
          shapeOf({ num_hidden_layers: 4, num_key_value_heads: 4, ...extra }),
          ({ attention }) => attention,
        )
      const reaches = (extra: object) =>
        Effect.map(layers(extra), (attention) => attention.map(({ reach }) => reach))
      const none = [undefined, undefined, undefined, undefined]
      assert.deepStrictEqual(yield* reaches({ model_type: "mistral" }), [4095, 4095, 4095, 4095])
      assert.deepStrictEqual(yield* reaches({ model_type: "mistral", sliding_window: null }), none)
      const qwen = { model_type: "qwen2", sliding_window: 8, max_window_layers: 3 }
      assert.deepStrictEqual(yield* reaches(qwen), none)
      assert.deepStrictEqual(yield* reaches({ ...qwen, use_sliding_window: true }), [...none.slice(1), 7])
      const local = { sliding_window: 8 }
      assert.deepStrictEqual(yield* reaches({ model_type: "gemma2", ...local }), [7, undefined, 7, undefined])
      const gemma3 = yield* layers({ model_type: "gemma3_text", ...local, sliding_window_pattern: 2 })
      assert.deepStrictEqual(
        gemma3.map(({ reach, rope }) => [reach, rope?.theta]),
        [
          [7, 10_000],
          [undefined, 1e6],
          [7, 10_000],
          [undefined, 1e6],
        ],
      )
      const smol = yield* layers({ model_type: "smollm3" })
      assert.deepStrictEqual(
        smol.map(({ rope }) => rope?.theta),
        [2e6, 2e6, 2e6, undefined],
      )
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

  it.effect("names the known model types, and what goes without", () =>
    Effect.gen(function* () {
      const message = yield* problem({ model_type: "mamba" })
      assert.match(
        message,
        /model_type "mamba"\): unknown model type: it can be merged by its tensors' names, and not be run; known: llama, mistral, .*gpt_neox$/,
      )
    }),
  )

  it.effect("finds GPT-2's tensors with and without their prefix", () =>
    Effect.gen(function* () {
      const gpt2 = { model_type: "gpt2", vocab_size: 32, n_embd: 16, n_head: 4, n_layer: 1 }
      const newer = yield* Architecture.resolve(gpt2)
      assert.deepStrictEqual([newer.tensors.head, newer.intermediateSize], ["transformer.wte.weight", 64])
      const older = yield* Architecture.resolve(gpt2, new Map([["wte.weight", {}]]))
      assert.deepStrictEqual(
        [...older.expected.keys()].map((name) => `transformer.${name}`),
        [...newer.expected.keys()],
      )
    }),
  )

  it.effect("tells encoders from decoders, and classifiers from other encoders", () =>
    Effect.gen(function* () {
      assert.include(yield* problem({ model_type: "bert" }), "is an encoder, and this needs a decoder")
      const encoderProblem = (extra: object) =>
        Effect.map(
          Effect.flip(Architecture.resolveEncoder({ ...config, ...extra })),
          ({ message }) => message,
        )
      assert.match(yield* encoderProblem({}), /is a decoder, and this needs an encoder: bert, roberta, /)
      const masked = { model_type: "bert", architectures: ["BertForMaskedLM"] }
      assert.match(yield* encoderProblem(masked), /the head of 'BertForMaskedLM' is not supported/)
      const relative = { model_type: "bert", position_embedding_type: "relative_key" }
      assert.match(yield* encoderProblem(relative), /position_embedding_type 'relative_key'/)
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

  describe("reference checkpoints", () => {
    for (const [name, path] of architectures) {
      it.effect(`${name} has the tensors its config asks for and no others`, () =>
        Effect.gen(function* () {
          const checkpoint = yield* Checkpoint.open(path)
          const shape: { readonly expected: ReadonlyMap<string, unknown> } = encoders.has(name)
            ? yield* Checkpoint.validateEncoder(checkpoint)
            : yield* Checkpoint.validate(checkpoint)
          assert.deepStrictEqual(
            [...shape.expected.keys()].toSorted(),
            [...checkpoint.tensors.keys()].toSorted(),
          )
        }),
      )
    }
  })
})
