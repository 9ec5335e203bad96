// Models of several stacks of layers; the cases 04-vlm-slices, 04b-vlm-gradient and 05-t5-gradient are of this kind.
import { assert, describe, it } from "@effect/vitest"
import type { Prepared } from "@hila/merge/Recipe"
import { Compare } from "@hila/merge/Tools"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import * as Stacks from "../src/stacks/Stacks.ts"
import { type Layout, layouts, merged, pair, planned, slices } from "./stacked.ts"
import { list, tensorValues } from "./support.ts"

const all: Readonly<Record<string, Layout>> = layouts

const gradient =
  "merge_method: task_arithmetic\nbase_model: a\nmodels:\n- {model: b, parameters: {weight: [0.0, 1.0]}}\n"

/** The weight of model `b` for every tensor. */
const weights = ({ tensors }: Prepared.Prepared) =>
  new Map(tensors.map(({ name, values }) => [name, Number([values["weight"]].flat()[0])]))

const refusal = (directory: string, recipe: string) =>
  Effect.map(Effect.flip(planned(directory, recipe)), ({ message }) => message)

describe("a gradient over the layers of several stacks", () => {
  for (const [name, layout] of Object.entries(all)) {
    it.effect(`${name}: is over the depth of each stack by itself`, () =>
      Effect.gen(function* () {
        const { directory } = yield* pair(layout)
        const found = weights(yield* planned(directory, gradient))
        const stacks = Stacks.of(layout.names)
        assert.sameMembers([...found.keys()], [...layout.names])
        for (const tensor of layout.names) {
          const layer = stacks.layerOf(tensor)?.layer
          const expected = layer === undefined ? 0 : layer / (stacks.moduleOf(tensor).stored - 1)
          assert.approximately(found.get(tensor) ?? -1, expected, 1e-12, tensor)
        }
      }),
    )
  }

  it.effect("writes those values: the layers of 04b's text go from one model to the other in thirds", () =>
    Effect.gen(function* () {
      const { a, b, directory } = yield* pair(layouts.llava)
      const result = yield* tensorValues((yield* merged(directory, gradient)).tensors)
      const [from, to] = [yield* tensorValues(a.tensors), yield* tensorValues(b.tensors)]
      for (const [layer, share] of [0, 1 / 3, 2 / 3, 1].entries()) {
        const tensor = `language_model.model.layers.${layer}.mlp.up_proj.weight`
        const [x, y] = [from.get(tensor) ?? [], to.get(tensor) ?? []]
        for (const [i, value] of (result.get(tensor) ?? []).entries())
          assert.approximately(value, (x[i] ?? 0) + share * ((y[i] ?? 0) - (x[i] ?? 0)), 1e-6)
      }
    }),
  )

  it.effect("is mergekit 0.1.5's for T5, BART and Qwen2.5-VL", () =>
    Effect.gen(function* () {
      const text = yield* Effect.promise(() =>
        readFile(new URL("fixtures/stack-gradients.json", import.meta.url), "utf8"),
      )
      const models: Readonly<
        Record<string, { config: Record<string, unknown>; tensors: Record<string, [Array<number>, number]> }>
      > = JSON.parse(text)
      for (const { config, tensors } of Object.values(models)) {
        const names = Object.keys(tensors)
        const shapes = Object.fromEntries(Object.entries(tensors).map(([name, [shape]]) => [name, shape]))
        const { directory } = yield* pair({ config, names, shapes })
        const found = weights(yield* planned(directory, gradient))
        for (const [name, [, weight]] of Object.entries(tensors)) {
          // Its definition lists this projector once per "layer" of two, so that the last value counts.
          if (name.startsWith("visual.merger.mlp.")) assert.deepStrictEqual([weight, found.get(name)], [1, 0])
          else assert.approximately(found.get(name) ?? -1, weight, 1e-6, name)
        }
      }
    }),
  )
})

describe("slices of the layers of several stacks", () => {
  const multimodal = ["llava", "gemma3", "qwen2-vl, flat", "qwen2-vl, nested", "idefics3"]
  for (const name of multimodal) {
    it.effect(`${name}: are of the text alone, whose depth changes where config.json says it`, () =>
      Effect.gen(function* () {
        const layout = all[name] ?? layouts.llava
        const { a, b, directory } = yield* pair(layout)
        const result = yield* merged(
          directory,
          `merge_method: passthrough\n${slices(["a", 0, 3], ["b", 1, 4])}`,
        )
        const [from, to, got] = [
          yield* tensorValues(a.tensors),
          yield* tensorValues(b.tensors),
          yield* tensorValues(result.tensors),
        ]
        const stacks = Stacks.of(layout.names)
        let count = 0
        for (const tensor of layout.names) {
          const place = stacks.layerOf(tensor)
          const isText = stacks.moduleOf(tensor).name === "text_decoder"
          if (place === undefined || !isText) {
            const last = isText && /norm|lm_head/.test(tensor)
            assert.deepStrictEqual(got.get(tensor), (last ? to : from).get(tensor), tensor)
            count += 1
            continue
          }
          const at = (layer: number) => `${place.before}.${layer}.${place.after}`
          if (place.layer < 3) assert.deepStrictEqual(got.get(tensor), from.get(tensor), tensor)
          if (place.layer >= 1) assert.deepStrictEqual(got.get(at(place.layer + 2)), to.get(tensor), tensor)
          count += Number(place.layer < 3) + Number(place.layer >= 1)
        }
        assert.strictEqual(result.tensors.size, count)
        const before = JSON.stringify(a.config)
        const expected = before
          .replaceAll(
            '"model_type":"llama","num_hidden_layers":4',
            '"model_type":"llama","num_hidden_layers":6',
          )
          .replace(
            '"model_type":"gemma3_text","num_hidden_layers":4',
            '"model_type":"gemma3_text","num_hidden_layers":6',
          )
          .replace(
            '"model_type":"qwen2_vl_text","num_hidden_layers":4',
            '"model_type":"qwen2_vl_text","num_hidden_layers":6',
          )
          .replace(
            '"num_hidden_layers":4,"vocab_size":4,"vision',
            '"num_hidden_layers":6,"vocab_size":4,"vision',
          )
        const config = { ...result.config }
        if (name === "gemma3") {
          const section = config["text_config"] as Record<string, unknown>
          const { layer_types: kinds, ...rest } = section
          assert.deepStrictEqual(
            kinds,
            [..."ssfsfs"].map((kind) => (kind === "s" ? "sliding_attention" : "full_attention")),
          )
          config["text_config"] = rest
        }
        assert.notStrictEqual(expected, before)
        assert.strictEqual(JSON.stringify(config), expected)
      }),
    )
  }

  it.effect("merges what they are not of from the sources of the first slice", () =>
    Effect.gen(function* () {
      const { a, b, directory } = yield* pair(layouts.llava)
      const source = (model: string) => `{model: ${model}, layer_range: [0, 2], parameters: {weight: 0.5}}`
      const result = yield* merged(
        directory,
        `merge_method: linear\nslices:\n- sources: [${source("a")}, ${source("b")}]\n`,
      )
      const name = "vision_tower.vision_model.encoder.layers.2.mlp.up_proj.weight"
      const [x, y, got] = yield* Effect.all(
        [a, b, result].map((model) => Checkpoint.readFloat32(model, name)),
      )
      for (const [i, value] of (got ?? []).entries())
        assert.approximately(value, ((x?.[i] ?? 9) + (y?.[i] ?? 9)) / 2, 1e-7)
    }),
  )

  it.effect("refuses ranges past the text's own depth, though another stack is deeper", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(layouts["qwen2-vl, flat"])
      assert.include(
        yield* refusal(directory, `merge_method: passthrough\n${slices(["a", 0, 5])}`),
        "a has 4 layers in text_decoder, [0, 4); the range ends at 5",
      )
    }),
  )

  it.effect("asks which stack is meant where none is the text's alone", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(layouts.t5)
      const text = `merge_method: passthrough\n${slices(["a", 0, 2], ["b", 0, 2])}`
      assert.include(
        yield* refusal(directory, text),
        "these models have several stacks of layers (shared, encoder (4 layers), decoder (3 layers)): say which the ranges are of, as in modules: {encoder: {slices: …}}",
      )
    }),
  )

  it.effect("refuses to move layers that no known key counts", () =>
    Effect.gen(function* () {
      const { config, names } = layouts.llava
      const { vision_config: vision } = config
      const { directory } = yield* pair({ config: { model_type: "llava", vision_config: vision }, names })
      assert.include(
        yield* refusal(directory, `merge_method: passthrough\n${slices(["a", 0, 2])}`),
        "no key in config.json of a is known to count the 4 layers of language_model.model.layers",
      )
      const wrong = { ...config, text_config: { ...config.text_config, num_hidden_layers: 9 } }
      const other = yield* pair({ config: wrong, names })
      assert.include(
        yield* refusal(other.directory, `merge_method: passthrough\n${slices(["a", 0, 2])}`),
        "config.json of a says 9 layers (text_config.num_hidden_layers), its weights have 4: mend it first",
      )
    }),
  )
})

describe("modules of a recipe", () => {
  const whole = (model: string) => `{models: [{model: ${model}}]}`
  const modules = (given: Readonly<Record<string, string>>) =>
    `merge_method: passthrough\nmodules:\n${Object.entries(given)
      .map(([name, value]) => `  ${name}: ${value}\n`)
      .join("")}`

  it.effect(
    "take each part from where they say, with slices and depths of their own (as mergekit does for T5)",
    () =>
      Effect.gen(function* () {
        const { a, b, directory } = yield* pair(layouts.t5)
        const source = (model: string, from: number, to: number) =>
          `{sources: [{model: ${model}, layer_range: [${from}, ${to}]}]}`
        const result = yield* merged(
          directory,
          modules({
            encoder: `{slices: [${source("a", 0, 4)}, ${source("b", 2, 4)}]}`,
            decoder: `{slices: [${source("b", 1, 3)}]}`,
            // As that tool has it for a module without layers.
            shared: `{slices: [${source("b", 0, 0)}]}`,
          }),
        )
        assert.deepStrictEqual([result.config["num_layers"], result.config["num_decoder_layers"]], [6, 2])
        const same = Effect.fnUntraced(function* (name: string, model: Checkpoint.Checkpoint, from = name) {
          assert.deepStrictEqual(
            yield* Checkpoint.readFloat32(result, name),
            yield* Checkpoint.readFloat32(model, from),
            name,
          )
        })
        yield* same("encoder.block.3.layer.1.DenseReluDense.wi.weight", a)
        yield* same(
          "encoder.block.5.layer.1.DenseReluDense.wi.weight",
          b,
          "encoder.block.3.layer.1.DenseReluDense.wi.weight",
        )
        yield* same(
          "decoder.block.0.layer.2.DenseReluDense.wi.weight",
          b,
          "decoder.block.1.layer.2.DenseReluDense.wi.weight",
        )
        yield* same("encoder.final_layer_norm.weight", b)
        yield* same("shared.weight", b)
        assert.strictEqual(result.tensors.size, 1 + 6 * 2 + 1 + 2 * 3 + 1 + 1)
      }),
  )

  it.effect("keep what the first block holds for all of them: T5's table of distances", () =>
    Effect.gen(function* () {
      const { config, names } = layouts.t5
      const table = (half: string) => `${half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`
      const { a, directory } = yield* pair({ config, names: [...names, table("encoder"), table("decoder")] })
      const source = (model: string) => `{sources: [{model: ${model}, layer_range: [1, 3]}]}`
      const result = yield* merged(
        directory,
        modules({
          encoder: `{slices: [${source("a")}, ${source("b")}]}`,
          decoder: `{slices: [${source("a")}]}`,
          shared: whole("a"),
        }),
      )
      for (const half of ["encoder", "decoder"]) {
        const found = [...result.tensors.keys()].filter(
          (name) => /relative/.test(name) && name.startsWith(half),
        )
        assert.deepStrictEqual(found, [table(half)])
        assert.deepStrictEqual(
          yield* Checkpoint.readFloat32(result, table(half)),
          yield* Checkpoint.readFloat32(a, table(half)),
        )
      }
      // Where every block has its own, as in UMT5, it goes with its block.
      const own = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
      const stacks = Stacks.of([table("encoder"), own, ...names])
      assert.strictEqual(stacks.layerOf(table("encoder"))?.layer, 0)
    }),
  )

  it.effect("leave the decoder as deep as it was where its count is the encoder's", () =>
    Effect.gen(function* () {
      const { config, names } = layouts.t5
      const { num_decoder_layers: _, ...rest } = config
      const even = names.filter((name) => !name.startsWith("encoder.block.3."))
      const { directory } = yield* pair({ config: { ...rest, num_layers: 3 }, names: even })
      const half = "{slices: [{sources: [{model: a, layer_range: [0, 2]}]}]}"
      const encoder = yield* merged(
        directory,
        modules({ encoder: half, decoder: whole("a"), shared: whole("a") }),
      )
      assert.deepStrictEqual([encoder.config["num_layers"], encoder.config["num_decoder_layers"]], [2, 3])
    }),
  )

  it.effect("give Whisper's halves their own keys, the shared count following the encoder", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(layouts.whisper)
      const result = yield* merged(
        directory,
        modules({
          encoder: "{slices: [{sources: [{model: a, layer_range: [0, 2]}]}]}",
          decoder:
            "{slices: [{sources: [{model: a, layer_range: [0, 2]}]}, {sources: [{model: b, layer_range: [0, 2]}]}]}",
        }),
      )
      const { decoder_layers: decoder, encoder_layers: encoder, num_hidden_layers: both } = result.config
      assert.deepStrictEqual([encoder, both, decoder], [2, 2, 4])
    }),
  )

  it.effect("have the parameters of their own, and the names of mergekit 0.1.5", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(layouts["qwen2-vl, nested"])
      const models = "models: [{model: b}]"
      const text = `merge_method: task_arithmetic\nbase_model: a\nparameters: {weight: 0.75}\nmodules:\n  text_decoder: {${models}, parameters: {weight: 0.25}}\n  vision_tower: {${models}, parameters: {weight: [0, 1]}}\n  multi_modal_projector: {${models}}\n`
      const found = weights(yield* planned(directory, text))
      assert.strictEqual(found.get("model.language_model.layers.2.attn.q_proj.weight"), 0.25)
      assert.strictEqual(found.get("lm_head.weight"), 0.25)
      assert.strictEqual(found.get("model.visual.blocks.1.attn.q_proj.weight"), 0.5)
      assert.strictEqual(found.get("model.visual.merger.mlp.0.weight"), 0.75)
    }),
  )

  it.effect("are refused where one is left out, unknown, named twice, or without layers to slice", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(layouts.llava)
      const [text, vision, projector] = [whole("a"), whole("b"), whole("a")]
      assert.include(
        yield* refusal(directory, modules({ text_decoder: text })),
        "modules leaves out multi_modal_projector, vision_tower, without which the result is no model",
      )
      assert.include(
        yield* refusal(directory, modules({ text_decoder: text, visionn: vision })),
        'there is no module "visionn": the models have text_decoder (4 layers), multi_modal_projector, vision_tower (3 layers)',
      )
      const twice = { text_decoder: text, language_model: text, vision_tower: vision }
      assert.include(yield* refusal(directory, modules(twice)), "the module text_decoder is named twice")
      const ranges = "{slices: [{sources: [{model: a, layer_range: [0, 1]}]}]}"
      assert.include(
        yield* refusal(
          directory,
          modules({ text_decoder: text, vision_tower: vision, multi_modal_projector: ranges }),
        ),
        "multi_modal_projector has no layers to give ranges of: give models",
      )
      const none = "{slices: [{sources: [{model: a, layer_range: [0, 0]}]}]}"
      assert.include(
        yield* refusal(
          directory,
          modules({ text_decoder: none, vision_tower: vision, multi_modal_projector: projector }),
        ),
        "the range holds no layer",
      )
      assert.notInclude(yield* list(directory), "out")
      yield* planned(directory, modules({ text_decoder: text, vision_model: vision, connector: projector }))
    }),
  )
})

describe("a comparison of models of several stacks", () => {
  it.effect("sums up the layers of each stack by themselves", () =>
    Effect.gen(function* () {
      const { a, b } = yield* pair(layouts.t5)
      const { layers } = yield* Compare.compare(a, b)
      const halves = (name: string, depth: number) =>
        Array.from({ length: depth }, (_, layer) => `${name} ${layer}`)
      assert.sameMembers(Object.keys(layers), ["outside", ...halves("encoder", 4), ...halves("decoder", 3)])
    }),
  )
})
