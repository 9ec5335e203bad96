/** Adapters that ask for something that is not read, or contradict themselves: refused, each in one line. */
import { assert, describe, it } from "@effect/vitest"
import { Prepared } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import {
  applied,
  baseOf,
  farthest,
  fixtures,
  layerOne,
  made,
  noise,
  pair,
  stem,
  type Values,
} from "./adapters.ts"

/** The line that refuses an adapter, without its directory. */
const refusal = Effect.fnUntraced(function* (keys: object, tensors: Values, base = "llama") {
  const directory = yield* made(keys, tensors)
  const error = yield* Effect.flip(applied(directory, yield* baseOf(base)))
  assert.strictEqual(error._tag === "CheckpointError" ? error.blame : error._tag, "input")
  return error.message.replace(`${directory}/`, "").replace(`${directory}: `, "")
})

const peft = "merge it with PEFT's merge_and_unload first, and give the result"
const unlike = "so that no weights equal it and it cannot be merged: it is used beside its model"
const incomplete = "the file may be incomplete"

/** The odd adapters of security/lora, and their siblings: each by the line that refuses it. */
const odd: Readonly<Record<string, readonly [keys: object, tensors: Values, line: string]>> = {
  r8: [
    { r: 8 },
    pair(),
    `tensor "${stem}A.weight": lora_A [4, 8] and lora_B [8, 4] are not of the rank 8 that adapter_config.json gives (r, rank_pattern)`,
  ],
  r0: [{ r: 0 }, pair(), "adapter_config.json: r is 0, expected a whole number of at least 1"],
  rneg: [{ r: -4 }, pair(), "adapter_config.json: r is -4, expected a whole number of at least 1"],
  "no r": [
    { r: undefined },
    pair(),
    "adapter_config.json: r is absent, expected a whole number of at least 1",
  ],
  alphahuge: [
    { lora_alpha: 1e308 },
    pair(),
    `tensor "${stem}A.weight": lora_alpha 1e+308 over the rank 4 is a factor beyond float32`,
  ],
  "factors that overflow": [
    {},
    Object.fromEntries(
      Object.entries(pair()).map(([name, { shape }]) => [
        name,
        { shape, values: noise(32, 1).map(() => 1e20) },
      ]),
    ),
    'tensor "model.layers.0.self_attn.q_proj.weight": element 0 is Infinity with the adapter; weights must be finite',
  ],
  none: [
    {},
    { "x.lora_B.weight": { shape: [2, 2], values: [0, 0, 0, 0] } },
    `tensor "x.lora_B.weight": has no other half: lora_A of x is missing, ${incomplete}`,
  ],
  orphanB: [
    {},
    { ...pair(), [layerOne("B")]: { shape: [8, 4], values: noise(32, 3) } },
    `tensor "${layerOne("B")}": has no other half: lora_A of model.layers.1.self_attn.q_proj is missing, ${incomplete}`,
  ],
  orphanA: [
    {},
    { ...pair(), [layerOne("A")]: { shape: [4, 8], values: noise(32, 3) } },
    `tensor "${layerOne("A")}": has no other half: lora_B of model.layers.1.self_attn.q_proj is missing, ${incomplete}`,
  ],
  dup: [
    {},
    { ...pair(), ...pair("model.layers.0.self_attn.q_proj.lora_") },
    `tensor "model.layers.0.self_attn.q_proj.lora_A.weight": is the same part of model.layers.0.self_attn.q_proj as ${stem}A.weight: the file names it twice`,
  ],
  default: [
    {},
    { ...pair(), ...pair(stem, 4, [8, 8], ".default.weight") },
    `tensor "${stem}A.default.weight": is the same part of model.layers.0.self_attn.q_proj as ${stem}A.weight: the file names it twice`,
  ],
  ia3: [
    { peft_type: "IA3" },
    pair(),
    `adapter_config.json: peft_type is "IA3", only "LORA" is read: ${peft}`,
  ],
  adalora: [
    { peft_type: "ADALORA" },
    pair(),
    `adapter_config.json: peft_type is "ADALORA", only "LORA" is read: ${peft}`,
  ],
  "no peft_type": [
    { peft_type: undefined },
    pair(),
    "adapter_config.json: has no peft_type: only LoRA adapters of PEFT's are read",
  ],
  lorabias: [
    { lora_bias: true },
    pair(),
    "lora_bias is true, but the file has no lora_B.bias of model.layers.0.self_attn.q_proj",
  ],
  "a bias of lora_B that is not declared": [
    {},
    { ...pair(), [`${stem}B.bias`]: { shape: [8], values: noise(8, 1) } },
    `tensor "${stem}B.bias": is a bias of lora_B, and lora_bias of adapter_config.json is not true: one of the two is wrong`,
  ],
  modsave: [
    { modules_to_save: ["lm_head"] },
    pair(),
    "adapter_config.json: modules_to_save names lm_head, and the file has no tensor of it: it may be incomplete",
  ],
  layersto: [
    { layers_to_transform: [1] },
    pair(),
    `tensor "${stem}A.weight": is a factor of model.layers.0.self_attn.q_proj, which adapter_config.json leaves out (target_modules, exclude_modules, layers_to_transform): one of the two is wrong`,
  ],
  exclude_modules: [
    { exclude_modules: ["q_proj"] },
    pair(),
    `tensor "${stem}A.weight": is a factor of model.layers.0.self_attn.q_proj, which adapter_config.json leaves out (target_modules, exclude_modules, layers_to_transform): one of the two is wrong`,
  ],
  "another target": [
    { target_modules: ["v_proj"] },
    pair(),
    `tensor "${stem}A.weight": is a factor of model.layers.0.self_attn.q_proj, which adapter_config.json leaves out (target_modules, exclude_modules, layers_to_transform): one of the two is wrong`,
  ],
  nan: [
    {},
    {
      ...pair(),
      [`${stem}B.weight`]: { shape: [8, 4], values: Array.from({ length: 32 }, () => Number.NaN) },
    },
    `tensor "${stem}B.weight": element 0 is NaN; weights must be finite`,
  ],
  rank0: [{ r: 0 }, pair(stem, 0), "adapter_config.json: r is 0, expected a whole number of at least 1"],
  "factors of rank 0": [
    {},
    pair(stem, 0),
    `tensor "${stem}A.weight": lora_A [0, 8] and lora_B [8, 0] are not of the rank 4 that adapter_config.json gives (r, rank_pattern)`,
  ],
  i8: [
    {},
    Object.fromEntries(
      Object.entries(pair()).map(([name, tensor]) => [name, { ...tensor, dtype: "I8" as const }]),
    ),
    `tensor "${stem}A.weight": is I8: factors are floats, and a scale for integers is nowhere given`,
  ],
  empty: [{}, {}, "its file holds no factors"],
  rpat: [
    { rank_pattern: { q_proj: 8 } },
    pair(),
    `tensor "${stem}A.weight": lora_A [4, 8] and lora_B [8, 4] are not of the rank 8 that adapter_config.json gives (r, rank_pattern)`,
  ],
  "rank_pattern of no rank": [
    { rank_pattern: { q_proj: 0 } },
    pair(),
    "adapter_config.json: rank_pattern.q_proj is 0, expected a whole number of at least 1",
  ],
  megatron: [
    { megatron_config: { a: 1 } },
    pair(),
    `adapter_config.json: megatron_config is {"a":1}: its layers are Megatron's, which are split over processes: ${peft}`,
  ],
  "corda (pissa, 06-adapter-pissa)": [
    { init_lora_weights: "pissa" },
    pair(),
    `adapter_config.json: init_lora_weights is "pissa": the factors belong to a base that this initialisation changed, not to the published one: save the adapter with path_initial_model_for_weight_conversion, or ${peft} (where the model given is that changed base, set the key to true)`,
  ],
  "an initialisation that is not known": [
    { init_lora_weights: "new" },
    pair(),
    `adapter_config.json: init_lora_weights is "new", an initialisation that is not known here: ${peft}`,
  ],
  trainable: [
    { trainable_token_indices: [1] },
    pair(),
    `adapter_config.json: trainable_token_indices is [1]: it replaces single rows of the embedding: ${peft}`,
  ],
  qalora: [
    { use_qalora: true },
    pair(),
    `adapter_config.json: use_qalora is true: its factors see pooled inputs (QA-LoRA): ${peft}`,
  ],
  arrow: [
    { arrow_config: {}, alora_invocation_tokens: [1, 2] },
    pair(),
    `adapter_config.json: arrow_config is {}: it routes between several adapters by the input, ${unlike}`,
  ],
  "alora (06-adapter-alora)": [
    { alora_invocation_tokens: [5, 6] },
    pair(),
    `adapter_config.json: alora_invocation_tokens is [5,6]: an activated LoRA holds only after its invocation tokens, ${unlike}`,
  ],
  dora: [
    { use_dora: true },
    pair(),
    `adapter_config.json: use_dora is true: its magnitudes rescale every row of a weight (DoRA): ${peft}`,
  ],
  "magnitudes that are not declared": [
    {},
    { ...pair(), [`${stem}magnitude_vector`]: { shape: [8], values: noise(8, 1) } },
    `tensor "${stem}magnitude_vector": is neither a factor of a LoRA nor a tensor of the model`,
  ],
  target_parameters: [
    { target_parameters: ["experts.up"] },
    pair(),
    `adapter_config.json: target_parameters is ["experts.up"]: it adapts parameters outside of linear layers, several experts in one tensor: ${peft}`,
  ],
  layer_replication: [
    {
      layer_replication: [
        [0, 2],
        [1, 2],
      ],
    },
    pair(),
    `adapter_config.json: layer_replication is [[0,2],[1,2]]: it stacks layers of the base, and adapts each copy: ${peft}`,
  ],
  "a key that is not known": [
    { use_next: 3 },
    pair(),
    `adapter_config.json: has the key use_next, 3, which is not known here: ${peft}, or remove the key if it leaves the weights alone`,
  ],
  "bias: all without biases": [
    { bias: "all" },
    pair(),
    "adapter_config.json: bias is all, and the file has no model.layers.0.self_attn.k_proj.bias: it may be incomplete",
  ],
  "bias: some": [
    { bias: "some" },
    pair(),
    'adapter_config.json: bias is "some", expected "none", "all" or "lora_only"',
  ],
  "fan_in_fan_out of another type": [
    { fan_in_fan_out: "yes" },
    pair(),
    'adapter_config.json: fan_in_fan_out is "yes", expected true or false',
  ],
  "another model's": [
    {},
    pair("base_model.model.model.layers.7.self_attn.q_proj.lora_"),
    'tensor "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight": changes model.layers.7.self_attn.q_proj.weight, which the model lacks: another model\'s adapter?',
  ],
  "other sizes": [
    {},
    pair(stem, 4, [8, 16]),
    `tensor "${stem}A.weight": lora_A [4, 16] and lora_B [8, 4] do not fit model.layers.0.self_attn.q_proj.weight of shape [8, 8]`,
  ],
  "a resized vocabulary": [
    {},
    { ...pair(), "base_model.model.model.embed_tokens.weight": { shape: [13, 8], values: noise(104, 1) } },
    `tensor "base_model.model.model.embed_tokens.weight": has the shape [13, 8], model.embed_tokens.weight [12, 8]: where the vocabulary was resized for training, ${peft}`,
  ],
}

describe("an odd adapter", () => {
  it.effect.each(Object.keys(odd))("is refused for what it is: %s", (name) =>
    Effect.gen(function* () {
      const [keys, tensors, line] = odd[name]!
      assert.strictEqual(yield* refusal(keys, tensors), line)
    }),
  )

  it.effect.each(["pissa_niter_4", "olora", "corda", "lora_ga", "loftq"])(
    "is refused where its initialisation changed the base: %s",
    (init) =>
      Effect.gen(function* () {
        assert.match(
          yield* refusal({ init_lora_weights: init }, pair()),
          /belong to a base that this initialisation changed/,
        )
      }),
  )

  it.effect(
    "is refused by a recipe before a weight is read, and is told for what it is in a model's place",
    () =>
      Effect.gen(function* () {
        const directory = yield* made({ init_lora_weights: "pissa" }, pair())
        const recipe = (model: string) => `merge_method: passthrough\nmodels:\n- model: ${model}\n`
        const refused = (model: string) =>
          Effect.map(
            Effect.flip(Prepared.fromText(recipe(model), "r.yml", fixtures)),
            ({ message }) => message,
          )
        assert.include(
          yield* refused(`{model: bases/llama, lora: ${directory}}`),
          'adapter_config.json: init_lora_weights is "pissa"',
        )
        assert.include(
          yield* refused(directory),
          "is an adapter, no model: a recipe adds it to its base, written base+adapter",
        )
      }),
  )

  it.effect("is refused where a square weight may be stored either way, and its model has no record", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("llama")
      const unknown = { ...base, config: { ...base.config, model_type: "new" } }
      const plain = yield* applied(yield* made({}, pair()), unknown)
      const known = yield* applied(yield* made({}, pair()), base)
      assert.deepStrictEqual([...plain.tensors], [...known.tensors])
      const error = yield* Effect.flip(applied(yield* made({ fan_in_fan_out: true }, pair()), unknown))
      assert.match(
        error.message,
        /q_proj\.weight is square, and nothing but fan_in_fan_out .* says that it is stored \[in, out\]/,
      )
    }),
  )

  it.effect("is refused where it trains one end of an embedding that is the head, too", () =>
    Effect.gen(function* () {
      const embedding = "base_model.model.model.embed_tokens"
      const rows = { shape: [12, 8], values: noise(96, 4) }
      const saved = { modules_to_save: ["embed_tokens", "lm_head"] }
      const both = { ...pair(), [`${embedding}.weight`]: rows, "base_model.model.lm_head.weight": rows }
      const directory = yield* made(saved, both)
      const { tensors } = yield* applied(directory, yield* baseOf("llama-tied"))
      assert.strictEqual(
        farthest(tensors.get("model.embed_tokens.weight")!, Float32Array.from(rows.values)),
        0,
      )
      const other = { ...rows, values: noise(96, 5) }
      const differs = yield* refusal(
        saved,
        { ...both, "base_model.model.lm_head.weight": other },
        "llama-tied",
      )
      assert.strictEqual(
        differs,
        `tensor "${embedding}.weight": differs from the saved head, and the model ties the two to one tensor: ${peft}`,
      )
      const alone = yield* refusal(
        { modules_to_save: ["lm_head"] },
        { ...pair(), "base_model.model.lm_head.weight": rows },
        "llama-tied",
      )
      assert.strictEqual(
        alone,
        `tensor "base_model.model.lm_head.weight": is saved without its other half, and the model ties embedding and head to one tensor: ${peft}`,
      )
      const factors = {
        [`${embedding}.lora_embedding_A`]: { shape: [4, 12], values: noise(48, 1) },
        [`${embedding}.lora_embedding_B`]: { shape: [8, 4], values: noise(32, 2) },
      }
      const adapted = yield* refusal({ target_modules: ["embed_tokens"] }, factors, "llama-tied")
      assert.match(
        adapted,
        /adapts the embedding or the head alone, and the model ties the two to one tensor/,
      )
    }),
  )
})
