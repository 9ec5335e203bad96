import { assert, describe, it } from "@effect/vitest"
import * as Stacks from "../src/stacks/Stacks.ts"
import { decoder, type Layout, layers, layouts } from "./stacked.ts"

const modules = (names: ReadonlyArray<string>) =>
  Object.fromEntries(
    Stacks.of(names).modules.map(({ container, name, stored }) => [
      name,
      container === undefined ? "" : `${container} × ${stored}`,
    ]),
  )

/** The module of every tensor outside of the layers. */
const outside = (names: ReadonlyArray<string>) => {
  const stacks = Stacks.of(names)
  const found: Record<string, ReadonlyArray<string>> = {}
  for (const name of names) {
    if (stacks.layerOf(name) !== undefined) continue
    const module = stacks.moduleOf(name).name
    found[module] = [...(found[module] ?? []), name]
  }
  return found
}

describe("stacks of layers by the names of tensors", () => {
  const expected: Readonly<Record<keyof typeof layouts, Readonly<Record<string, string>>>> = {
    llava: {
      text_decoder: "language_model.model.layers × 4",
      multi_modal_projector: "",
      vision_tower: "vision_tower.vision_model.encoder.layers × 3",
    },
    gemma3: {
      text_decoder: "language_model.model.layers × 4",
      multi_modal_projector: "",
      vision_tower: "vision_tower.vision_model.encoder.layers × 4",
    },
    "qwen2-vl, flat": {
      text_decoder: "model.layers × 4",
      vision_tower: "visual.blocks × 3",
      multi_modal_projector: "",
    },
    "qwen2-vl, nested": {
      text_decoder: "model.language_model.layers × 4",
      vision_tower: "model.visual.blocks × 3",
      multi_modal_projector: "",
    },
    idefics3: {
      text_decoder: "model.text_model.layers × 4",
      multi_modal_projector: "",
      vision_tower: "model.vision_model.encoder.layers × 4",
    },
    t5: { shared: "", encoder: "encoder.block × 4", decoder: "decoder.block × 3" },
    whisper: { encoder: "model.encoder.layers × 3", decoder: "model.decoder.layers × 2" },
    bart: { decoder: "model.decoder.layers × 2", shared: "", encoder: "model.encoder.layers × 2" },
  }
  const all: Readonly<Record<string, Layout>> = layouts
  for (const [name, wanted] of Object.entries(expected)) {
    it(`${name}: ${Object.keys(wanted).join(", ")}`, () => {
      assert.deepStrictEqual(modules(all[name]?.names ?? []), wanted)
    })
  }

  it("gives embeddings, norms and heads to their own stack, and what joins pictures to the text to neither", () => {
    assert.deepStrictEqual(outside(layouts["qwen2-vl, nested"].names), {
      text_decoder: [
        "lm_head.weight",
        "model.language_model.embed_tokens.weight",
        "model.language_model.norm.weight",
      ],
      multi_modal_projector: ["model.visual.merger.mlp.0.weight"],
      vision_tower: ["model.visual.patch_embed.proj.weight"],
    })
    assert.deepStrictEqual(outside(layouts.whisper.names), {
      encoder: [
        "model.encoder.conv1.weight",
        "model.encoder.embed_positions.weight",
        "model.encoder.layer_norm.weight",
      ],
      decoder: ["model.decoder.embed_tokens.weight", "model.decoder.layer_norm.weight", "proj_out.weight"],
    })
    assert.deepStrictEqual(outside(layouts.t5.names), {
      shared: ["shared.weight"],
      encoder: ["encoder.final_layer_norm.weight"],
      decoder: ["decoder.final_layer_norm.weight", "lm_head.weight"],
    })
  })

  it("counts blocks, not their sublayers, and experts not at all", () => {
    assert.strictEqual(
      Stacks.of(layouts.t5.names).layerOf("decoder.block.2.layer.1.EncDecAttention.q.weight")?.layer,
      2,
    )
    const experts = layers("model.layers", 2, [
      "mlp.experts.0.up_proj.weight",
      "mlp.experts.7.up_proj.weight",
    ])
    assert.deepStrictEqual(modules(experts), { default: "model.layers × 2" })
  })

  it("calls two stacks for the same by their places", () => {
    const vision = [
      ...layers("vision_model.transformer.layers", 2, ["q.weight"]),
      ...layers("vision_model.global_transformer.layers", 1, ["q.weight"]),
      ...layers("language_model.model.layers", 2, ["q.weight"]),
      "language_model.lm_head.weight",
      "vision_model.class_embedding",
    ]
    assert.deepStrictEqual(modules(vision), {
      "vision_model.transformer": "vision_model.transformer.layers × 2",
      "vision_model.global_transformer": "vision_model.global_transformer.layers × 1",
      text_decoder: "language_model.model.layers × 2",
      vision_model: "",
    })
  })

  it("is one module for a model of one stack, whatever else it has", () => {
    const { names } = decoder({ model_type: "llama" }, 2)
    assert.deepStrictEqual(modules([...names, "vision_tower.patch.weight"]), { default: "model.layers × 2" })
    const opt = layers("model.decoder.layers", 2, ["q.weight"])
    assert.deepStrictEqual(modules(opt), { default: "model.decoder.layers × 2" })
  })

  it("keeps layers that guess tokens ahead apart, and ranges are of the text", () => {
    const names = [
      ...layers("model.layers", 3, ["q.weight"]),
      ...layers("mtp.layers", 1, ["q.weight"]),
      "mtp.fc.weight",
    ]
    const { modules: found } = Stacks.of(names)
    assert.deepStrictEqual(modules(names), { text_decoder: "model.layers × 3", mtp: "mtp.layers × 1" })
    assert.strictEqual(Stacks.main(found)?.name, "text_decoder")
  })

  it("finds a module by its name, another name for the same, or its place", () => {
    const { modules: found } = Stacks.of(layouts["qwen2-vl, nested"].names)
    for (const name of [
      "text_decoder",
      "language_model",
      "model.language_model.layers",
      "model.language_model",
    ])
      assert.strictEqual(Stacks.find(found, name)?.name, "text_decoder")
    for (const name of ["vision_tower", "visual", "model.visual.blocks"])
      assert.strictEqual(Stacks.find(found, name)?.name, "vision_tower")
    assert.isUndefined(Stacks.find(found, "encoder"))
  })
})
