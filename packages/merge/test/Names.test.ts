// Sound models that are alike but for how they were written: merged, and told (cases 11-tied-and-untied,
// 11b-tied-by-default, 12-inv-freq-in-one, 13-prefix-gpt2; 14-index-names-more is in the tests of checkpoints).
import { assert, describe, it } from "@effect/vitest"
import { linear } from "@hila/merge"
import { Prepared } from "@hila/merge/Recipe"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { scratch } from "./support.ts"
import { floats, merged, recipe, refusal, type Stored, type Tensors, write } from "./written.ts"

const renamed = (tensors: Tensors, as: (name: string) => string): Tensors =>
  Object.fromEntries(Object.entries(tensors).map(([name, stored]) => [as(name), stored]))

const mean = (a: Stored, b: Stored) => a.values.map((value, i) => Math.fround((value + b.values[i]!) / 2))

const llama = {
  model_type: "llama",
  hidden_size: 4,
  intermediate_size: 6,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  vocab_size: 8,
  rms_norm_eps: 1e-6,
}
const embedding = "model.embed_tokens.weight"
const head = "lm_head.weight"
const decoder = (seed: number): Tensors => ({
  [embedding]: floats(seed, 8, 4),
  "model.layers.0.input_layernorm.weight": floats(seed + 1, 4),
  "model.layers.0.self_attn.q_proj.weight": floats(seed + 2, 4, 4),
  "model.layers.0.self_attn.k_proj.weight": floats(seed + 3, 4, 4),
  "model.layers.0.self_attn.v_proj.weight": floats(seed + 4, 4, 4),
  "model.layers.0.self_attn.o_proj.weight": floats(seed + 5, 4, 4),
  "model.layers.0.post_attention_layernorm.weight": floats(seed + 6, 4),
  "model.layers.0.mlp.gate_proj.weight": floats(seed + 7, 6, 4),
  "model.layers.0.mlp.up_proj.weight": floats(seed + 8, 6, 4),
  "model.layers.0.mlp.down_proj.weight": floats(seed + 9, 4, 6),
  "model.norm.weight": floats(seed + 10, 4),
})
const [a, b] = [decoder(10), decoder(30)]
const own = floats(77, 8, 4)
const tied = { ...llama, tie_word_embeddings: true }
const free = { ...llama, tie_word_embeddings: false }

describe("tied with untied heads", () => {
  it.effect(
    "the embedding of the tied model is its head, and the result is untied (11-tied-and-untied)",
    () =>
      Effect.gen(function* () {
        for (const [first, second] of [
          [
            [tied, a],
            [free, { ...b, [head]: own }],
          ],
          [
            [free, { ...b, [head]: own }],
            [tied, a],
          ],
        ] as const) {
          const { config, notes, values } = yield* merged(first, second)
          assert.deepStrictEqual(values[head], mean(a[embedding]!, own))
          assert.deepStrictEqual(values[embedding], mean(a[embedding]!, b[embedding]!))
          assert.strictEqual(config, JSON.stringify(free))
          assert.match(
            notes.join("\n"),
            /the head of [ab] is tied: its embedding takes part as lm_head\.weight/,
          )
        }
      }),
  )

  it.effect("so does that of a base, and a config that ties by default says otherwise", () =>
    Effect.gen(function* () {
      const gemma = { ...llama, model_type: "gemma", head_dim: 2 }
      const text =
        "merge_method: task_arithmetic\nbase_model: a\nmodels: [{model: b, parameters: {weight: 1}}]\n"
      const { config, values } = yield* merged(
        [gemma, a],
        [
          { ...gemma, tie_word_embeddings: false },
          { ...b, [head]: own },
        ],
        text,
      )
      own.values.forEach((value, i) => assert.closeTo(values[head]![i]!, value, 1e-6))
      assert.deepStrictEqual(JSON.parse(config), { ...gemma, tie_word_embeddings: false })
    }),
  )

  it.effect(
    "a head stored beside the embedding that it equals is no tensor of its own (11b-tied-by-default)",
    () =>
      Effect.gen(function* () {
        const gemma = { ...llama, model_type: "gemma", head_dim: 2 }
        for (const config of [
          gemma,
          tied,
          { ...llama, model_type: "unknown", text_config: { tie_word_embeddings: true } },
        ]) {
          const found = yield* merged([config, a], [config, { ...b, [head]: b[embedding]! }])
          assert.sameMembers(found.names, Object.keys(a))
          assert.deepStrictEqual(found.values[embedding], mean(a[embedding]!, b[embedding]!))
          assert.strictEqual(found.config, JSON.stringify(config))
          assert.include(
            found.notes,
            "lm_head.weight of b is a copy of a tensor that it is tied to: merged as that one",
          )
        }
      }),
  )

  it.effect(
    "a head that is stored in the embedding's place is the embedding, beside tied and untied ones",
    () =>
      Effect.gen(function* () {
        const { [embedding]: table, ...rest } = b
        const alone = { ...rest, [head]: table! }
        for (const [first, second] of [
          [a, alone],
          [alone, a],
        ] as const) {
          const found = yield* merged([tied, first], [tied, second])
          assert.sameMembers(found.names, Object.keys(a))
          assert.deepStrictEqual(found.values[embedding], mean(a[embedding]!, table!))
          assert.strictEqual(found.config, JSON.stringify(tied))
          assert.match(found.notes.join("\n"), /lm_head\.weight of [ab] is stored for the embedding too/)
        }
        const untied = yield* merged([free, { ...a, [head]: own }], [tied, alone])
        assert.deepStrictEqual(untied.values[embedding], mean(a[embedding]!, table!))
        assert.deepStrictEqual(untied.values[head], mean(own, table!))
      }),
  )

  it.effect("a stored head that differs counts, though the config ties it", () =>
    Effect.gen(function* () {
      const found = yield* merged([tied, a], [tied, { ...b, [head]: own }])
      assert.deepStrictEqual(found.values[head], mean(a[embedding]!, own))
      assert.strictEqual(found.config, JSON.stringify(free))
      assert.match(found.notes.join("\n"), /of b differs from the embedding that its config\.json ties it to/)
    }),
  )

  it.effect(
    "a model without a head that does not tie one is refused; what is untied is by every function",
    () =>
      Effect.gen(function* () {
        assert.strictEqual(
          yield* refusal([free, a], [free, { ...b, [head]: own }]),
          "recipe.yml:4:5: b has the tensor lm_head.weight; a has no such tensor",
        )
        const directory = yield* scratch
        const models = [
          yield* write(join(directory, "a"), tied, a),
          yield* write(join(directory, "b"), free, { ...b, [head]: own }),
        ]
        const merged = yield* linear({ models }, { weights: [1, 1] }, join(directory, "out"))
        assert.strictEqual(merged.config["tie_word_embeddings"], false)
        assert.isTrue(merged.tensors.has(head))
      }),
  )

  it.effect("copies of encoders and encoder-decoders are not missed where one model has them", () =>
    Effect.gen(function* () {
      const shared = {
        "shared.weight": floats(1, 8, 4),
        "encoder.block.0.layer.0.layer_norm.weight": floats(2, 4),
      }
      const t5 = { model_type: "t5" }
      const old = { ...shared, "encoder.embed_tokens.weight": shared["shared.weight"] }
      assert.sameMembers((yield* merged([t5, shared], [t5, old])).names, Object.keys(shared))
      assert.sameMembers((yield* merged([t5, old], [t5, old])).names, Object.keys(old))
      assert.include(
        yield* refusal([t5, shared], [t5, { ...old, "encoder.embed_tokens.weight": own }]),
        "b has the tensor encoder.embed_tokens.weight; a has no such tensor",
      )
    }),
  )
})

describe("buffers that config.json determines", () => {
  const rotary = "model.layers.0.self_attn.rotary_emb.inv_freq"
  const frequencies: Stored = { dtype: "F32", shape: [1], values: [0.1] }

  it.effect("are copied from the first model, or left out where it has none (12-inv-freq-in-one)", () =>
    Effect.gen(function* () {
      const kept = yield* merged([tied, { ...a, [rotary]: frequencies }], [tied, b])
      assert.deepStrictEqual(kept.values[rotary], [Math.fround(0.1)])
      const dropped = yield* merged([tied, a], [tied, { ...b, [rotary]: frequencies }])
      assert.notInclude(dropped.names, rotary)
      assert.include(dropped.notes, `1 tensors of b that config.json determines are left out (${rotary})`)
    }),
  )

  it.effect("are never averaged, rounded or compared", () =>
    Effect.gen(function* () {
      const other: Stored = { dtype: "F32", shape: [2], values: [0.3, 0.4] }
      const found = yield* merged(
        [tied, { ...a, [rotary]: frequencies }],
        [tied, { ...b, [rotary]: other }],
        `${recipe}dtype: bfloat16\n`,
      )
      assert.deepStrictEqual(found.values[rotary], [Math.fround(0.1)])
    }),
  )

  it.effect("masks, positions and frequencies by the names of several families", () =>
    Effect.gen(function* () {
      const mask: Stored = { dtype: "F32", shape: [1, 1, 2, 2], values: [1, 0, 1, 1] }
      const positions: Stored = { dtype: "I64", shape: [1, 4], values: [0, 1, 2, 3] }
      const one: Stored = { dtype: "F32", shape: [], values: [-1e4] }
      const buffers: Tensors = {
        "h.0.attn.bias": mask,
        "h.0.attn.masked_bias": one,
        "gpt_neox.layers.0.attention.bias": mask,
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": frequencies,
        "transformer.rotary_pos_emb.inv_freq": frequencies,
        "embeddings.position_ids": positions,
      }
      const weights: Tensors = { "h.0.attn.c_attn.bias": floats(4, 4), "h.0.self.bias": floats(5, 4) }
      const config = { model_type: "unknown" }
      const { names } = yield* merged([config, weights], [config, { ...weights, ...buffers }])
      assert.sameMembers(names, Object.keys(weights))
      // A bias of one axis is a weight like any other.
      assert.include(
        yield* refusal([config, weights], [config, { ...weights, "h.0.attn.bias": floats(6, 4) }]),
        "b has the tensor h.0.attn.bias; a has no such tensor",
      )
    }),
  )
})

describe("one model's names in several generations", () => {
  const weights = (seed: number, ...names: ReadonlyArray<string>): Tensors =>
    Object.fromEntries(names.map((name, i) => [name, floats(seed + i, 4, 4)]))
  const cases: ReadonlyArray<
    readonly [title: string, names: ReadonlyArray<string>, as: (name: string) => string]
  > = [
    [
      "GPT-2 with and without transformer. (13-prefix-gpt2)",
      ["wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "ln_f.weight"],
      (name) => `transformer.${name}`,
    ],
    [
      "Llama's body with and without model.",
      ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"],
      (name) => name.slice(6),
    ],
    [
      "BERT with and without bert.",
      [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.0.output.LayerNorm.weight",
        "bert.pooler.dense.weight",
      ],
      (name) => name.slice(5),
    ],
    [
      "LayerNorm's gamma and beta",
      [
        "bert.embeddings.LayerNorm.weight",
        "bert.embeddings.LayerNorm.bias",
        "bert.encoder.layer.0.output.dense.weight",
      ],
      (name) =>
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    ],
    [
      "vision and language before and since transformers 5",
      [
        "model.language_model.embed_tokens.weight",
        "model.language_model.layers.0.mlp.up_proj.weight",
        "model.vision_tower.encoder.layers.0.mlp.fc1.weight",
        "model.multi_modal_projector.linear_1.weight",
        "lm_head.weight",
      ],
      (name) =>
        name.startsWith("model.language_model.")
          ? name.replace("model.language_model.", "language_model.model.")
          : name === "lm_head.weight"
            ? "language_model.lm_head.weight"
            : name.slice(6),
    ],
    [
      "Qwen-VL before and since transformers 5",
      [
        "model.language_model.layers.0.mlp.up_proj.weight",
        "model.visual.blocks.0.mlp.fc1.weight",
        "lm_head.weight",
      ],
      (name) => name.replace("model.language_model.", "model.").replace("model.visual.", "visual."),
    ],
    [
      "what wrappers of training put in front",
      ["model.layers.0.mlp.up_proj.weight", "model.norm.weight"],
      (name) => `module._orig_mod.${name.replace("mlp.", "_fsdp_wrapped_module.mlp.")}`,
    ],
  ]
  for (const [title, names, as] of cases) {
    it.effect(`${title}: merged under the first model's names, either way`, () =>
      Effect.gen(function* () {
        const config = { model_type: "unknown" }
        const [x, y] = [weights(1, ...names), weights(50, ...names)]
        const expected = Object.fromEntries(names.map((name) => [name, mean(x[name]!, y[name]!)]))
        const newer = yield* merged([config, x], [config, renamed(y, as)])
        assert.deepStrictEqual(newer.values, expected)
        const older = yield* merged([config, renamed(x, as)], [config, y])
        assert.deepStrictEqual(
          older.values,
          Object.fromEntries(names.map((name) => [as(name), expected[name]!])),
        )
        assert.match(newer.notes.join("\n"), /tensors of b have the names of a here: /)
      }),
    )
  }

  it.effect("a prefix that could be two tensors' is not guessed at, and what is missing is missing", () =>
    Effect.gen(function* () {
      const config = { model_type: "unknown" }
      const x = weights(1, "model.a.weight", "b.weight")
      assert.strictEqual(
        yield* refusal([config, x], [config, weights(1, "a.weight", "model.a.weight", "b.weight")]),
        "recipe.yml:4:5: b has the tensor a.weight; a has no such tensor",
      )
      assert.strictEqual(
        yield* refusal([config, x], [config, weights(1, "a.weight")]),
        "recipe.yml:4:5: tensor b.weight is missing in b; a has it",
      )
    }),
  )

  it.effect("the functions on checkpoints read them alike", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const config = { model_type: "unknown" }
      const [x, y] = [weights(1, "h.0.w"), weights(9, "transformer.h.0.w")]
      const models = [
        yield* write(join(directory, "a"), config, x),
        yield* write(join(directory, "b"), config, y),
      ]
      const result = yield* linear({ models }, { weights: [0.5, 0.5] }, join(directory, "out"))
      assert.deepStrictEqual(
        [...(yield* Checkpoint.readFloat32(result, "h.0.w"))],
        mean(x["h.0.w"]!, y["transformer.h.0.w"]!),
      )
    }),
  )
})

describe("an index that names more than the shards have (14-index-names-more)", () => {
  it.effect("is told in pre-flight, and the models are merged", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      for (const [name, tensors] of Object.entries({ a, b })) {
        const path = join(directory, name)
        yield* write(path, tied, tensors)
        const shard = "model-00001-of-00001.safetensors"
        const index = {
          weight_map: Object.fromEntries([...Object.keys(tensors), head].map((key) => [key, shard])),
        }
        yield* Effect.promise(() => rename(join(path, "model.safetensors"), join(path, shard)))
        yield* Effect.promise(() =>
          writeFile(join(path, "model.safetensors.index.json"), JSON.stringify(index)),
        )
      }
      const file = join(directory, "recipe.yml")
      yield* Effect.promise(() => writeFile(file, recipe))
      const { notes, tensors } = yield* Prepared.fromFile(file)
      const told =
        "the index names lm_head.weight, which no shard has and the model does not need: passed over"
      assert.includeMembers([...notes], [`a: ${told}`, `b: ${told}`])
      assert.sameMembers(
        tensors.map(({ name }) => name),
        Object.keys(a),
      )
    }),
  )
})

describe("a quantization_config beside plain weights", () => {
  it.effect("is told, and is not in the result's config.json", () =>
    Effect.gen(function* () {
      const left = { ...tied, quantization_config: { quant_method: "gptq", bits: 4 } }
      const { config, notes, values } = yield* merged([left, a], [tied, b])
      assert.strictEqual(config, JSON.stringify(tied))
      assert.deepStrictEqual(values[embedding], mean(a[embedding]!, b[embedding]!))
      assert.match(notes.join("\n"), /quantization_config in config\.json of a says that it is quantised/)
    }),
  )
})
