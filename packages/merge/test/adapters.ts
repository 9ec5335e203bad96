/** Adapters for tests: as PEFT made them, or made here of a few numbers; and what they make of a model. */
import { assert } from "@effect/vitest"
import { Checkpoint, Dtype, Safetensors, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Adapter from "../src/adapters/Adapter.ts"
import * as AdapterFile from "../src/adapters/AdapterFile.ts"
import { scratch, tensorValues } from "./support.ts"

// Made by tools/oracles/peft_adapters.py.
export const fixtures = fileURLToPath(new URL("fixtures/peft", import.meta.url))
export const baseOf = (name: string) => Checkpoint.open(join(fixtures, "bases", name))

/** What an adapter makes of a model: the tensors that it changes. */
export const applied = Effect.fnUntraced(function* (directory: string, base: Checkpoint.Checkpoint) {
  const adapter = yield* Adapter.open(directory, base)
  const file = join(yield* scratch, "changed.safetensors")
  yield* AdapterFile.write(file, base, adapter)
  const { tensors } = yield* Safetensors.open(file)
  return { tensors: yield* tensorValues(tensors), notes: adapter.notes }
})

export const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  assert.strictEqual(a.length, b.length)
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
}

export type Values = Readonly<
  Record<
    string,
    {
      readonly shape: ReadonlyArray<number>
      readonly values: ReadonlyArray<number>
      readonly dtype?: Dtype.Dtype
    }
  >
>

export const noise = (count: number, seed: number) =>
  Array.from({ length: count }, (_, i) => 0.1 * Math.sin(1.7 * i + seed))
export const stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
export const pair = (at = stem, rank = 4, [out, from] = [8, 8], suffix = ".weight"): Values => ({
  [`${at}A${suffix}`]: { shape: [rank, from], values: noise(rank * from, 1) },
  [`${at}B${suffix}`]: { shape: [out, rank], values: noise(out * rank, 2) },
})
export const layerOne = (half: string) =>
  `base_model.model.model.layers.1.self_attn.q_proj.lora_${half}.weight`

/** An adapter as files: a plain one with some keys and tensors changed. */
export const made = Effect.fnUntraced(function* (keys: object, tensors: Values, rawConfig?: string) {
  const directory = join(yield* scratch, "lora")
  yield* Effect.promise(() => mkdir(directory))
  const config = { peft_type: "LORA", r: 4, lora_alpha: 8, target_modules: ["q_proj"], bias: "none", ...keys }
  yield* Effect.promise(() =>
    writeFile(join(directory, "adapter_config.json"), rawConfig ?? JSON.stringify(config)),
  )
  yield* SafetensorsWriter.write(join(directory, "adapter_model.safetensors"), {
    tensors: Object.entries(tensors).map(([name, { dtype = "F32", shape }]) => ({ name, shape, dtype })),
    data: ({ dtype, name }, put) => {
      const { values } = tensors[name]!
      return put(
        Dtype.isFloat(dtype) ? Dtype.fromFloat32(Float32Array.from(values), dtype) : Uint8Array.from(values),
      )
    },
  })
  return directory
})
