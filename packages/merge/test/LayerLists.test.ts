// What config.json says of single layers follows the slices; the cases 02-stack-layer-types-qwen3 and
// 02b-stack-layer-kinds-gemma2 are of this kind.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import * as LayerTraits from "../src/stacks/LayerTraits.ts"
import { decoder, merged, pair, planned, type Range, slices } from "./stacked.ts"

const [full, sliding, linear] = ["full_attention", "sliding_attention", "linear_attention"]
const passthrough = "merge_method: passthrough\n"

type Config = Readonly<Record<string, unknown>>

/** What a config of this depth becomes for the layers 1, 2, 3 of `a` and then 0 of `b`, in keys that differ; the notes. */
const moved = Effect.fnUntraced(function* (config: Config, depth = 4, other: Config = config) {
  const { a, directory } = yield* pair(decoder(config, depth), decoder(other, depth))
  const prepared = yield* planned(directory, `${passthrough}${slices(["a", 1, 4], ["b", 0, 1])}`)
  const edits = Object.fromEntries(prepared.restacked.edits.map(({ path, value }) => [path.join("."), value]))
  const { num_hidden_layers: layers, ...rest } = edits
  assert.strictEqual(layers, 4)
  return { rest, notes: prepared.restacked.notes, a }
})

const refusal = (config: Config, depth = 4, text = slices(["a", 1, 4], ["b", 0, 1])) =>
  Effect.gen(function* () {
    const { directory } = yield* pair(decoder(config, depth))
    const error = yield* Effect.flip(planned(directory, `${passthrough}${text}`))
    assert.strictEqual(error.blame, "input")
    assert.notInclude(error.message, "\n")
    return error.message
  })

describe("lists with an entry per layer follow slices", () => {
  it.effect("grow and shrink with the depth, every other byte of the config kept", () =>
    Effect.gen(function* () {
      const config = {
        model_type: "qwen3_moe",
        layer_types: [full, sliding, full, full],
        rope_theta: 10000.5,
      }
      const { directory } = yield* pair(decoder(config, 4))
      yield* merged(directory, `${passthrough}${slices(["a", 0, 3], ["b", 1, 4])}`)
      const text = (path: string) =>
        Effect.promise(() => readFile(join(directory, path, "config.json"), "utf8"))
      const kinds = (values: ReadonlyArray<string>) => values.map((value) => `    "${value}"`).join(",\n")
      assert.strictEqual(
        yield* text("out"),
        (yield* text("a"))
          .replace('"num_hidden_layers": 4', '"num_hidden_layers": 6')
          .replace(kinds([full, sliding, full, full]), kinds([full, sliding, full, sliding, full, full])),
      )
      const short = yield* pair(decoder(config, 4))
      const cut = yield* merged(short.directory, `${passthrough}${slices(["a", 0, 2])}`)
      assert.deepStrictEqual(cut.config["layer_types"], [full, sliding])
    }),
  )

  const lists: Readonly<Record<string, readonly [config: Config, expected: Config]>> = {
    "of attention, MLPs and rotations": [
      {
        model_type: "x",
        layer_types: [sliding, full, sliding, full],
        mlp_layer_types: ["dense", "sparse", "sparse", "sparse"],
        no_rope_layers: [1, 0, 1, 1],
      },
      {
        layer_types: [full, sliding, full, sliding],
        mlp_layer_types: ["sparse", "sparse", "sparse", "dense"],
        no_rope_layers: [0, 1, 1, 1],
      },
    ],
    "of experts as 0 and 1": [
      { model_type: "x", moe_layer_freq: [0, 1, 1, 0] },
      { moe_layer_freq: [1, 1, 0, 0] },
    ],
    "of sizes": [
      { model_type: "openelm", num_query_heads: [1, 2, 3, 4], ffn_multipliers: [0.5, 1.5, 2, 2] },
      { num_query_heads: [2, 3, 4, 1], ffn_multipliers: [1.5, 2, 2, 0.5] },
    ],
    "of widths": [
      { model_type: "x", intermediate_size: [8, 16, 16, 32] },
      { intermediate_size: [16, 16, 32, 8] },
    ],
    "of objects": [
      { model_type: "x", block_configs: [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }] },
      { block_configs: [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 0 }] },
    ],
    "inside an object of the config": [
      { model_type: "x", attention: { windows: [0, 1, 2, 3], heads: 4 } },
      { "attention.windows": [1, 2, 3, 0] },
    ],
    "of blocks": [
      { model_type: "x", layers_block_type: ["mamba", "attention", "mamba", "mamba"] },
      { layers_block_type: ["attention", "mamba", "mamba", "mamba"] },
    ],
    "as letters": [{ model_type: "x", hybrid_override_pattern: "M-*M" }, { hybrid_override_pattern: "-*MM" }],
    "by the number as a key": [
      { model_type: "x", per_layer_config: { 0: { head_dim: 8 }, 3: { head_dim: 2 } } },
      { per_layer_config: { 2: { head_dim: 2 }, 3: { head_dim: 8 } } },
    ],
    "as runs": [
      { model_type: "gpt_neo", attention_types: [[["global", "local"], 2]] },
      { attention_types: [[["local", "global", "local", "global"], 1]] },
    ],
    "of the numbers of layers": [
      {
        model_type: "x",
        mlp_only_layers: [0, 1],
        cross_attention_layers: [3],
        fullatt_block_indexes: [1, 2],
      },
      { mlp_only_layers: [0, 3], cross_attention_layers: [2], fullatt_block_indexes: [0, 1] },
    ],
  }
  for (const [name, [config, expected]] of Object.entries(lists)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { notes, rest } = yield* moved(config)
        assert.deepStrictEqual(rest, expected)
        assert.deepStrictEqual(notes, [])
      }),
    )
  }

  it.effect("from models whose kinds lie in other layers, with a list or by a rule", () =>
    Effect.gen(function* () {
      const kinds = { model_type: "gemma2", layer_types: [full, sliding, full, sliding] }
      const explicit = yield* moved(kinds, 4, { ...kinds, layer_types: [sliding, full, sliding, full] })
      assert.deepStrictEqual(explicit.rest, { layer_types: [sliding, full, sliding, sliding] })
      const byRule = yield* moved(kinds, 4, { model_type: "gemma2" })
      assert.deepStrictEqual(byRule.rest, { layer_types: [sliding, full, sliding, sliding] })
    }),
  )

  it.effect("but lists that are as long by chance do not", () =>
    Effect.gen(function* () {
      const { rest } = yield* moved({
        model_type: "x",
        architectures: ["A", "B", "C", "D"],
        eos_token_id: [1, 2, 3, 4],
        rope_scaling: { short_factor: [1, 2, 3, 4], mrope_section: [1, 2, 3, 4] },
        rope_parameters: { short_factor: [1, 2, 3, 4] },
        image_mean: [0.1, 0.2, 0.3, 0.4],
        image_size: [1, 2, 3, 4],
      })
      assert.deepStrictEqual(rest, {})
    }),
  )

  it.effect("and one of another length than the depth is refused", () =>
    Effect.gen(function* () {
      assert.include(
        yield* refusal({ model_type: "qwen3", layer_types: [full, full] }),
        "recipe.yml:3:1: layer_types in config.json has 2 entries, for 4 layers: mend it first",
      )
      const { directory } = yield* pair(
        decoder({ model_type: "x", layer_types: [full, full, full, full] }, 4),
        decoder({ model_type: "x" }, 4),
      )
      const error = yield* Effect.flip(
        planned(directory, `${passthrough}${slices(["a", 1, 4], ["b", 0, 1])}`),
      )
      assert.include(
        error.message,
        "config.json of b has no layer_types for its layer 0, which the result needs",
      )
    }),
  )
})

describe("kinds of layers that classes derive from a layer's number", () => {
  it.effect("are transformers' for every model type that is known to derive some", () =>
    Effect.gen(function* () {
      const text = yield* Effect.promise(() =>
        readFile(new URL("fixtures/layer-kinds.json", import.meta.url), "utf8"),
      )
      const entries: ReadonlyArray<{
        section: Config
        depth: number
        lists: Readonly<Record<string, Array<unknown>>>
      }> = JSON.parse(text)
      for (const { depth, lists, section } of entries) {
        for (const [key, expected] of Object.entries(lists)) {
          // Where it has no expert layers by number, every layer has experts by the class's default.
          if (key === "moe_layers" && section["interleave_moe_layer_step"] === undefined) continue
          if (key === "layer_types" && section["model_type"] === "smollm3") continue
          const trait = LayerTraits.named.find((other) => other.key === key)
          const values = trait?.read(section, depth)
          const got =
            key === "moe_layers" ? values?.flatMap((has, layer) => (has === true ? [layer] : [])) : values
          assert.deepStrictEqual(got, expected, `${JSON.stringify(section)} ${depth} ${key}`)
        }
      }
      assert.isAbove(entries.length, 70)
    }),
  )

  const derived: Readonly<Record<string, readonly [config: Config, expected: Config]>> = {
    "Gemma 2's parity": [{ model_type: "gemma2" }, { layer_types: [full, sliding, full, sliding] }],
    "a pattern": [
      { model_type: "gemma3_text", sliding_window_pattern: 3 },
      { layer_types: [sliding, full, sliding, sliding] },
    ],
    "windows from a layer on": [
      { model_type: "qwen2", use_sliding_window: true, sliding_window: 8, max_window_layers: 3 },
      { layer_types: [full, full, sliding, full] },
    ],
    "an interval": [{ model_type: "qwen3_next" }, { layer_types: [linear, linear, full, linear] }],
    "layers without rotation": [
      { model_type: "llama4_text", interleave_moe_layer_step: 2 },
      {
        layer_types: ["chunked_attention", "chunked_attention", full, "chunked_attention"],
        no_rope_layers: [1, 1, 0, 1],
        moe_layers: [0, 2],
      },
    ],
    "every second layer dense": [
      { model_type: "qwen2_moe", decoder_sparse_step: 2 },
      { mlp_only_layers: [1, 3], decoder_sparse_step: 1 },
    ],
  }
  for (const [name, [config, expected]] of Object.entries(derived)) {
    it.effect(`${name} is written out where layers change their number, and told`, () =>
      Effect.gen(function* () {
        const { notes, rest } = yield* moved(config)
        assert.deepStrictEqual(rest, expected)
        for (const key of Object.keys(expected).filter((other) => other !== "decoder_sparse_step"))
          assert.isTrue(
            notes.some((note) => note.startsWith(`${key} is written into config.json`)),
            key,
          )
      }),
    )
  }

  it.effect("stay unwritten where the rule still says the same", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(decoder({ model_type: "gemma2" }, 4))
      const prepared = yield* planned(
        directory,
        `${passthrough}${slices(["a", 0, 2], ["b", 2, 4], ["a", 0, 2])}`,
      )
      assert.deepStrictEqual(prepared.restacked.edits, [{ path: ["num_hidden_layers"], value: 6 }])
      assert.deepStrictEqual(prepared.restacked.notes, [])
      const windows = yield* moved({ model_type: "qwen2", use_sliding_window: false, max_window_layers: 2 })
      assert.deepStrictEqual(windows.rest, {})
    }),
  )

  it.effect("become other numbers where these can say it, and are refused where none can", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(decoder({ model_type: "deepseek_v3", first_k_dense_replace: 2 }, 4))
      const of = (...ranges: ReadonlyArray<Range>) =>
        Effect.map(planned(directory, `${passthrough}${slices(...ranges)}`), ({ restacked }) =>
          restacked.edits.slice(1),
        )
      assert.deepStrictEqual(yield* of(["a", 1, 4]), [{ path: ["first_k_dense_replace"], value: 1 }])
      assert.deepStrictEqual(yield* of(["a", 0, 4], ["b", 2, 4]), [])
      const text = slices(["a", 1, 4], ["b", 0, 1])
      assert.include(
        yield* refusal({ model_type: "deepseek_v3", first_k_dense_replace: 2 }),
        "recipe.yml:3:1: first_k_dense_replace in config.json counts layers by their number, and cannot say what these layers are (false, 2 × true, false): choose ranges that keep its rule",
      )
      for (const config of [
        { model_type: "gemma4_text", layer_types: [sliding, sliding, sliding, full] },
        { model_type: "jamba", attn_layer_period: 3, attn_layer_offset: 1 },
        { model_type: "jamba", expert_layer_period: 2, expert_layer_offset: 1 },
        {
          model_type: "ernie4_5_moe",
          moe_layer_start_index: 1,
          moe_layer_end_index: -1,
          moe_layer_interval: 2,
        },
      ])
        assert.include(
          yield* refusal(config, 4, text),
          "cannot say what these layers are",
          JSON.stringify(config),
        )
      assert.include(
        yield* refusal({ model_type: "gemma3n_text", num_kv_shared_layers: 2 }),
        "num_kv_shared_layers is 2: the last layers take keys and values of earlier ones",
      )
      assert.include(
        yield* refusal({ model_type: "gemma4_text", hidden_size_per_layer_input: 8 }),
        "the embedding has columns for each layer",
      )
    }),
  )

  it.effect(
    "are asked about where a key may mean layers by number, and refused where a merge mixes them",
    () =>
      Effect.gen(function* () {
        const { notes } = yield* moved({ model_type: "x", swap_every_n_layers: 2, layer_norm_eps: 1e-5 })
        assert.deepStrictEqual(notes, [
          "swap_every_n_layers = 2 is kept: if it means layers by their number, set it by hand",
        ])
        const { directory } = yield* pair(decoder({ model_type: "gemma2" }, 4))
        const source = (model: string, from: number) =>
          `{model: ${model}, layer_range: [${from}, ${from + 1}], parameters: {weight: 1}}`
        const text = `merge_method: linear\nslices:\n- sources: [${source("a", 0)}, ${source("b", 1)}]\n`
        const mixed =
          'layer 0 merges layer 0 of a ("sliding_attention") with layer 1 of b ("full_attention"), by layer_types in config.json'
        const { message } = yield* Effect.flip(planned(directory, text))
        assert.include(
          message,
          `${mixed}: accept: [architecture] merges them all the same, into one like the first`,
        )
        const prepared = yield* planned(directory, `${text}accept: [architecture]\n`)
        assert.deepStrictEqual(prepared.restacked.notes, [`accepted: ${mixed}`])
      }),
  )
})
