/** Adapters that are added on the fly: each equal to what PEFT's merge_and_unload makes of it. */
import { assert, describe, it } from "@effect/vitest"
import { Checkpoint, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Adapter from "../src/adapters/Adapter.ts"
import { applied, baseOf, farthest, fixtures, made, noise, pair, stem, type Values } from "./adapters.ts"
import { tensorValues } from "./support.ts"

const cases = readdirSync(fixtures).filter((name) => name !== "bases")

describe("an adapter that PEFT made", () => {
  it.effect.each(cases)("gives what PEFT's merge_and_unload gives: %s", (name) =>
    Effect.gen(function* () {
      const directory = join(fixtures, name)
      const config = JSON.parse(readFileSync(join(directory, "adapter_config.json"), "utf8"))
      const base = yield* baseOf(config.base_model_name_or_path)
      const { tensors } = yield* applied(directory, base)
      const expected = yield* tensorValues(
        (yield* Safetensors.open(join(directory, "merged.safetensors"))).tensors,
      )
      assert.includeMembers([...tensors.keys()], [...expected.keys()])
      for (const [tensor, values] of tensors) {
        // What PEFT saves beside its factors may be the base's own values.
        const wanted = expected.get(tensor) ?? (yield* Checkpoint.readFloat32(base, tensor))
        assert.isBelow(farthest(values, wanted), 1e-6, tensor)
      }
    }),
  )
})

describe("a plain adapter", () => {
  /** W + (8 / 4) · B A by hand. */
  const expected = Effect.gen(function* () {
    const name = "model.layers.0.self_attn.q_proj.weight"
    const [a, b] = [noise(32, 1), noise(32, 2)]
    const before = yield* Checkpoint.readFloat32(yield* baseOf("llama"), name)
    return Array.from(before, (value, at) => {
      const [row, column] = [Math.floor(at / 8), at % 8]
      return [0, 1, 2, 3].reduce((sum, k) => sum + 2 * b[row * 4 + k]! * a[k * 8 + column]!, value)
    })
  })
  const gives = Effect.fnUntraced(function* (keys: object, tensors: Values, rawConfig?: string) {
    const directory = yield* made(keys, tensors, rawConfig)
    const { notes, tensors: changed } = yield* applied(directory, yield* baseOf("llama"))
    assert.isBelow(farthest(changed.get("model.layers.0.self_attn.q_proj.weight")!, yield* expected), 1e-6)
    return notes
  })
  const asF64 = Object.fromEntries(
    Object.entries(pair()).map(([name, tensor]) => [name, { ...tensor, dtype: "F64" as const }]),
  )

  it.effect.each<readonly [name: string, keys: object, tensors: Values]>([
    ["ok", {}, pair()],
    ["f64", {}, asF64],
    ["names without PEFT's prefix", {}, pair("model.layers.0.self_attn.q_proj.lora_")],
    ["names of the model without its head", {}, pair("base_model.model.layers.0.self_attn.q_proj.lora_")],
    ["names with the adapter's", {}, pair(stem, 4, [8, 8], ".default.weight")],
    ["every linear layer as its target", { target_modules: "all-linear" }, pair()],
    ["no target", { target_modules: null }, pair()],
    ["keys of another trainer that say nothing", { lora_dtype: "float32", lorap_lr_ratio: null }, pair()],
    [
      "settings of an initialisation that was not used",
      { loftq_config: { bits: 4 }, eva_config: { rho: 2 } },
      pair(),
    ],
  ])("is added: %s", ([, keys, tensors]) => gives(keys, tensors))

  it.effect("with alpha 0 leaves the model as it is, as in PEFT (alpha0)", () =>
    Effect.gen(function* () {
      const directory = yield* made({ lora_alpha: 0 }, pair())
      const base = yield* baseOf("llama")
      const { tensors } = yield* applied(directory, base)
      const name = "model.layers.0.self_attn.q_proj.weight"
      assert.strictEqual(farthest(tensors.get(name)!, yield* Checkpoint.readFloat32(base, name)), 0)
    }),
  )

  it.effect("tells of keys that say nothing, and of layers that it names and has no factors of", () =>
    Effect.gen(function* () {
      const notes = yield* gives({ use_next: false, next_config: {} }, pair())
      assert.deepStrictEqual(notes, [
        "adapter_config.json has the key use_next, which is not known here and says nothing",
        "adapter_config.json has the key next_config, which is not known here and says nothing",
        "target_modules names 2 layers of the model, of which 1 (model.layers.1.self_attn.q_proj.weight) have no factors and stay as they are",
      ])
    }),
  )

  it.effect("reads what Python writes as JSON, and refuses what is none", () =>
    Effect.gen(function* () {
      const broken = yield* made({}, pair(), '{"peft_type": "LORA", "r": 4')
      const error = yield* Effect.flip(Adapter.open(broken, yield* baseOf("llama")))
      assert.match(error.message, /adapter_config\.json: is no JSON: line 1, column/)
      const nan = yield* made({}, pair(), '{"peft_type": "LORA", "r": 4, "lora_alpha": NaN}')
      const odder = yield* Effect.flip(Adapter.open(nan, yield* baseOf("llama")))
      assert.match(odder.message, /lora_alpha is NaN, expected a finite number/)
    }),
  )
})
