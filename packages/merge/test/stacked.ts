/** Tiny checkpoints of several stacks, made in code: the layouts of names and configs that models of pictures, sound and sequences have. */
import { Prepared, mergeRecipe } from "@hila/merge/Recipe"
import { Checkpoint, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { random, scratch } from "./support.ts"

/** Names and config of a model; every tensor is `[4, 4]` unless a shape is given. */
export interface Layout {
  readonly config: Readonly<Record<string, unknown>>
  readonly names: ReadonlyArray<string>
  readonly shapes?: Readonly<Record<string, ReadonlyArray<number>>>
}

/** `container.0.part`, … for so many layers. */
export const layers = (container: string, depth: number, parts: ReadonlyArray<string>) =>
  Array.from({ length: depth }, (_, layer) => parts.map((part) => `${container}.${layer}.${part}`)).flat()

const block = ["attn.q_proj.weight", "mlp.up_proj.weight"]
const text = { model_type: "llama", num_hidden_layers: 4, vocab_size: 4 }

/** Layouts by name. */
export const layouts = {
  llava: {
    config: {
      model_type: "llava",
      vision_feature_layer: -2,
      text_config: text,
      vision_config: { model_type: "clip_vision_model", num_hidden_layers: 3 },
    },
    names: [
      "language_model.model.embed_tokens.weight",
      ...layers("language_model.model.layers", 4, block),
      "language_model.model.norm.weight",
      "language_model.lm_head.weight",
      "multi_modal_projector.linear_1.weight",
      "vision_tower.vision_model.embeddings.patch_embedding.weight",
      "vision_tower.vision_model.pre_layrnorm.weight",
      ...layers("vision_tower.vision_model.encoder.layers", 3, block),
      "vision_tower.vision_model.post_layernorm.weight",
    ],
  },
  gemma3: {
    config: {
      model_type: "gemma3",
      text_config: {
        model_type: "gemma3_text",
        num_hidden_layers: 4,
        sliding_window_pattern: 3,
        vocab_size: 4,
      },
      vision_config: { model_type: "siglip_vision_model", num_hidden_layers: 4 },
    },
    names: [
      "language_model.model.embed_tokens.weight",
      ...layers("language_model.model.layers", 4, block),
      "language_model.model.norm.weight",
      "multi_modal_projector.mm_input_projection_weight",
      "vision_tower.vision_model.embeddings.position_embedding.weight",
      ...layers("vision_tower.vision_model.encoder.layers", 4, block),
      "vision_tower.vision_model.post_layernorm.weight",
    ],
  },
  "qwen2-vl, flat": {
    config: {
      model_type: "qwen2_vl",
      num_hidden_layers: 4,
      vocab_size: 4,
      vision_config: { model_type: "qwen2_vl", depth: 3 },
    },
    names: [
      "lm_head.weight",
      "model.embed_tokens.weight",
      ...layers("model.layers", 4, block),
      "model.norm.weight",
      ...layers("visual.blocks", 3, block),
      "visual.merger.mlp.0.weight",
      "visual.patch_embed.proj.weight",
    ],
  },
  "qwen2-vl, nested": {
    config: {
      model_type: "qwen2_vl",
      text_config: { ...text, model_type: "qwen2_vl_text" },
      // What older writers leave beside the section of the text.
      num_hidden_layers: 4,
      vocab_size: 4,
      vision_config: { model_type: "qwen2_vl_vision", depth: 3 },
    },
    names: [
      "lm_head.weight",
      "model.language_model.embed_tokens.weight",
      ...layers("model.language_model.layers", 4, block),
      "model.language_model.norm.weight",
      ...layers("model.visual.blocks", 3, block),
      "model.visual.merger.mlp.0.weight",
      "model.visual.patch_embed.proj.weight",
    ],
  },
  idefics3: {
    config: {
      model_type: "idefics3",
      text_config: text,
      vision_config: { model_type: "idefics3_vision", num_hidden_layers: 4 },
    },
    names: [
      "lm_head.weight",
      "model.connector.modality_projection.proj.weight",
      "model.text_model.embed_tokens.weight",
      ...layers("model.text_model.layers", 4, block),
      "model.text_model.norm.weight",
      "model.vision_model.embeddings.patch_embedding.weight",
      ...layers("model.vision_model.encoder.layers", 4, block),
    ],
  },
  t5: {
    config: {
      model_type: "t5",
      is_encoder_decoder: true,
      num_layers: 4,
      num_decoder_layers: 3,
      vocab_size: 4,
    },
    names: [
      "shared.weight",
      ...layers("encoder.block", 4, ["layer.0.SelfAttention.q.weight", "layer.1.DenseReluDense.wi.weight"]),
      "encoder.final_layer_norm.weight",
      ...layers("decoder.block", 3, [
        "layer.0.SelfAttention.q.weight",
        "layer.1.EncDecAttention.q.weight",
        "layer.2.DenseReluDense.wi.weight",
      ]),
      "decoder.final_layer_norm.weight",
      "lm_head.weight",
    ],
  },
  whisper: {
    config: {
      model_type: "whisper",
      num_hidden_layers: 3,
      encoder_layers: 3,
      decoder_layers: 2,
      vocab_size: 4,
    },
    names: [
      "model.encoder.conv1.weight",
      "model.encoder.embed_positions.weight",
      ...layers("model.encoder.layers", 3, ["self_attn.q_proj.weight"]),
      "model.encoder.layer_norm.weight",
      "model.decoder.embed_tokens.weight",
      ...layers("model.decoder.layers", 2, ["self_attn.q_proj.weight"]),
      "model.decoder.layer_norm.weight",
      "proj_out.weight",
    ],
  },
  bart: {
    config: { model_type: "bart", num_hidden_layers: 2, encoder_layers: 2, decoder_layers: 2, vocab_size: 4 },
    names: [
      "final_logits_bias",
      "model.shared.weight",
      ...layers("model.encoder.layers", 2, ["self_attn.q_proj.weight"]),
      ...layers("model.decoder.layers", 2, ["self_attn.q_proj.weight"]),
    ],
  },
} satisfies Readonly<Record<string, Layout>>

/** A model of one stack: decoder layers with these keys in its config. */
export const decoder = (config: Readonly<Record<string, unknown>>, depth: number): Layout => ({
  config: { num_hidden_layers: depth, vocab_size: 4, ...config },
  names: ["model.embed_tokens.weight", ...layers("model.layers", depth, block), "model.norm.weight"],
})

/** Writes a model with values drawn by a seed. */
export const write = Effect.fnUntraced(function* (directory: string, layout: Layout, seed: number) {
  const next = random(seed)
  yield* Effect.promise(() => mkdir(directory, { recursive: true }))
  yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
    tensors: layout.names.map((name) => ({ name, dtype: "F32", shape: layout.shapes?.[name] ?? [4, 4] })),
    data: ({ byteLength }, put) =>
      put(new Uint8Array(Float32Array.from({ length: byteLength / 4 }, () => next() - 0.5).buffer)),
  })
  const config = `${JSON.stringify({ torch_dtype: "float32", ...layout.config }, null, 2)}\n`
  yield* Effect.promise(() => writeFile(join(directory, "config.json"), config))
  return yield* Checkpoint.open(directory)
})

/** A scratch directory with models `a` and `b` of these layouts. */
export const pair = Effect.fnUntraced(function* (a: Layout, b: Layout = a) {
  const directory = yield* scratch
  return {
    directory,
    a: yield* write(join(directory, "a"), a, 1),
    b: yield* write(join(directory, "b"), b, 2),
  }
})

/** What a recipe in that directory comes to, nothing read or written. */
export const planned = (directory: string, recipe: string) =>
  Prepared.fromText(recipe, "recipe.yml", directory)

/** The result of a recipe in that directory. */
export const merged = Effect.fnUntraced(function* (
  directory: string,
  recipe: string,
  options: Parameters<typeof mergeRecipe>[2] = {},
) {
  const path = join(directory, "recipe.yml")
  yield* Effect.promise(() => writeFile(path, recipe))
  return yield* mergeRecipe(path, join(directory, "out"), { digests: false, ...options })
})

/** Layers of a model. */
export type Range = readonly [model: string, from: number, to: number]

/** Slices of one source each. */
export const slices = (...ranges: ReadonlyArray<Range>) =>
  `slices:\n${ranges.map(([model, from, to]) => `- sources: [{model: ${model}, layer_range: [${from}, ${to}]}]\n`).join("")}`
