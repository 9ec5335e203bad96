/** Adapters from differences: base and adapter are the model again, in every layout, and what cannot be held is told. */
import { assert, describe, it } from "@effect/vitest"
import { extractLora, type Extraction } from "@hila/merge/Tools"
import { Checkpoint, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { applied, baseOf, farthest, fixtures } from "./adapters.ts"
import { altered, list, micro, random, scratch, tensorValues } from "./support.ts"

const up = "model.layers.1.mlp.up_proj.weight"

/** An expert: the base with noise on the tensors that are chosen. */
const expertOf = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  chosen: (name: string, shape: ReadonlyArray<number>) => boolean,
) {
  const next = random(5)
  return yield* altered(base, join(yield* scratch, "expert"), ({ dtype, name, shape }, values) => ({
    dtype,
    name,
    shape,
    values: chosen(name, shape) ? values.map((value) => value + 0.2 * (next() - 0.5)) : values,
  }))
})

/** A checkpoint whose tensors have other names. */
const renamed = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
  rename: (name: string) => string,
) {
  return yield* altered(checkpoint, join(yield* scratch, "renamed"), ({ dtype, name, shape }, values) => ({
    dtype,
    name: rename(name),
    shape,
    values,
  }))
})

const configOf = (directory: string) =>
  Effect.promise(async () => JSON.parse(await readFile(join(directory, "adapter_config.json"), "utf8")))

const isMatrix = (_: string, shape: ReadonlyArray<number>) => shape.length === 2

/** Extracts at full rank, adds the adapter to the base, and compares every tensor with the expert's. */
const roundTrip = Effect.fnUntraced(function* (base: Checkpoint.Checkpoint, expert: Checkpoint.Checkpoint) {
  const directory = join(yield* scratch, "adapter")
  const extraction = yield* extractLora(base, expert, 16, directory)
  const { tensors } = yield* applied(directory, base)
  const left = new Set(extraction.leftOut.map(({ tensor }) => tensor))
  for (const name of base.tensors.keys()) {
    if (left.has(name)) continue
    const wanted = yield* Checkpoint.readFloat32(expert, name)
    const got = tensors.get(name) ?? (yield* Checkpoint.readFloat32(base, name))
    assert.isBelow(farthest(got, wanted), 1e-5, name)
  }
  return { config: yield* configOf(directory), directory, extraction }
})

const told = ({ leftOut }: Extraction) => leftOut.map(({ reason, tensor }) => [tensor, reason])

describe("an adapter that holds the whole difference", () => {
  it.effect("makes the expert of the base: llama, with its embedding and head", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("llama")
      const { config, extraction } = yield* roundTrip(base, yield* expertOf(base, isMatrix))
      assert.deepStrictEqual(extraction.leftOut, [])
      assert.approximately(extraction.held, 1, 1e-9)
      assert.sameMembers(config.target_modules, [
        "embed_tokens",
        "lm_head",
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
      ])
      assert.strictEqual(config.fan_in_fan_out, false)
    }),
  )

  it.effect(
    "makes the expert of the base: gpt2, whose layers are stored transposed (07-extract-lora-gpt2)",
    () =>
      Effect.gen(function* () {
        const base = yield* baseOf("gpt2")
        const expert = yield* expertOf(base, (name, shape) => shape.length === 2 && !name.includes("wte"))
        const { config, directory, extraction } = yield* roundTrip(base, expert)
        assert.deepStrictEqual(extraction.leftOut, [])
        assert.isTrue(config.fan_in_fan_out)
        const { tensors } = yield* Safetensors.open(join(directory, "adapter_model.safetensors"))
        const at = "base_model.model.transformer.h.0.attn.c_attn.lora_"
        assert.deepStrictEqual(tensors.get(`${at}A.weight`)?.shape, [16, 8])
        assert.deepStrictEqual(tensors.get(`${at}B.weight`)?.shape, [24, 16])
      }),
  )

  it.effect("makes the expert of the base: gemma2, whose tied embedding is left out and told", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("gemma2")
      const { extraction } = yield* roundTrip(base, yield* expertOf(base, isMatrix))
      assert.deepStrictEqual(told(extraction), [["model.embed_tokens.weight", "embedding and head are tied"]])
      const share = extraction.leftOut[0]?.share ?? Number.NaN
      assert.isAbove(share, 0)
      assert.approximately(extraction.held, 1 - share, 1e-9)
    }),
  )

  it.effect("makes the expert of the base: qwen2, whose biases and norms are left out and told", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("qwen2")
      const expert = yield* expertOf(base, () => true)
      const { extraction } = yield* roundTrip(base, expert)
      const count = (reason: string) => extraction.leftOut.filter((left) => left.reason === reason).length
      assert.deepStrictEqual([count("a bias"), count("a norm or another vector")], [6, 5])
      assert.lengthOf(extraction.leftOut, 11)
      // By hand: the squares of what is left out over those of everything.
      const squares = (names: Iterable<string>) =>
        Effect.gen(function* () {
          let sum = 0
          for (const name of names) {
            const [a, b] = [
              yield* Checkpoint.readFloat32(base, name),
              yield* Checkpoint.readFloat32(expert, name),
            ]
            for (const [i, value] of a.entries()) sum += (b[i]! - value) ** 2
          }
          return sum
        })
      const lost = yield* squares(extraction.leftOut.map(({ tensor }) => tensor))
      assert.approximately(extraction.held, 1 - lost / (yield* squares(base.tensors.keys())), 1e-6)
    }),
  )

  it.effect("has the names of the model that runs, whatever the checkpoint's generation", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("gpt2")
      const expert = yield* expertOf(base, (name) => name.includes("c_attn"))
      const bare = yield* renamed(base, (name) => name.replace("transformer.", ""))
      const directory = join(yield* scratch, "adapter")
      yield* extractLora(bare, expert, 16, directory)
      const { tensors } = yield* applied(directory, base)
      const name = "transformer.h.1.attn.c_attn.weight"
      assert.isBelow(farthest(tensors.get(name)!, yield* Checkpoint.readFloat32(expert, name)), 1e-5)
      const { tensors: files } = yield* Safetensors.open(join(directory, "adapter_model.safetensors"))
      assert.isTrue(files.has(`base_model.model.${name.replace(".weight", "")}.lora_A.weight`))
    }),
  )
})

describe("an extracted adapter", () => {
  it.effect.each(["gpt2", "llama"])("is the one that PEFT was seen to merge: %s", (name) =>
    Effect.gen(function* () {
      const directory = join(yield* scratch, "adapter")
      yield* extractLora(yield* baseOf(name), yield* baseOf(`${name}-expert`), 2, directory)
      const kept = yield* applied(join(fixtures, `extracted-${name}`), yield* baseOf(name))
      const made = yield* applied(directory, yield* baseOf(name))
      assert.sameMembers([...made.tensors.keys()], [...kept.tensors.keys()])
      for (const [tensor, values] of kept.tensors) {
        assert.isBelow(farthest(made.tensors.get(tensor)!, values), 1e-6, tensor)
      }
    }),
  )

  it.effect("names its targets whole where their last names mean other layers, too", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("gpt2")
      const expert = yield* expertOf(base, (name) => name.endsWith(".attn.c_proj.weight"))
      const { config } = yield* roundTrip(base, expert)
      assert.deepStrictEqual(config.target_modules, [
        "transformer.h.0.attn.c_proj",
        "transformer.h.1.attn.c_proj",
      ])
    }),
  )

  it.effect("names its base as it is told to", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("llama")
      const directory = join(yield* scratch, "adapter")
      const expert = yield* expertOf(base, isMatrix)
      yield* extractLora(base, expert, 2, directory, { baseName: "org/base", baseRevision: "v1" })
      const config = yield* configOf(directory)
      assert.deepInclude(config, { base_model_name_or_path: "org/base", revision: "v1" })
    }),
  )

  it.effect("is refused of a grown vocabulary, unless that may be left out", () =>
    Effect.gen(function* () {
      const base = yield* baseOf("llama")
      const rows = (name: string) => /embed_tokens|lm_head/.test(name)
      const expert = yield* altered(
        base,
        join(yield* scratch, "grown"),
        ({ dtype, name, shape }, values) => ({
          dtype,
          name,
          shape: rows(name) ? [13, 8] : shape,
          values: rows(name)
            ? Float32Array.from({ length: 104 }, (_, i) => values[i] ?? 1)
            : values.map((value) => 1.5 * value),
        }),
      )
      const directory = yield* scratch
      const error = yield* Effect.flip(extractLora(base, expert, 4, join(directory, "adapter")))
      assert.strictEqual(
        error.message,
        "extract-lora: models: tensor lm_head.weight: has 13 rows, the base 12: an adapter adds no rows to a vocabulary: resize the base first (resize_token_embeddings(13)), or leave embedding and head out with --skip-vocabulary",
      )
      assert.deepStrictEqual(yield* list(directory), [])
      const extraction = yield* extractLora(base, expert, 4, join(directory, "adapter"), {
        skipVocabulary: true,
      })
      assert.deepInclude(extraction.leftOut, {
        tensor: "lm_head.weight",
        reason: "other rows than the base's",
        share: undefined,
      })
      const { tensors } = yield* Safetensors.open(join(directory, "adapter/adapter_model.safetensors"))
      assert.isFalse([...(yield* tensorValues(tensors)).keys()].some(rows))
    }),
  )

  it.effect("tells of what the base lacks", () =>
    Effect.gen(function* () {
      const tied = yield* baseOf("llama-tied")
      const untied = yield* expertOf(yield* baseOf("llama"), (name) => name === up)
      const { leftOut } = yield* extractLora(tied, untied, 4, join(yield* scratch, "adapter"))
      assert.include(
        leftOut.map(({ reason, tensor }) => `${tensor}: ${reason}`),
        "lm_head.weight: tied to the embedding in the base",
      )
    }),
  )

  it.effect("is refused of a rank that is none and of models without a difference, and leaves nothing", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const directory = yield* scratch
      const at = join(directory, "adapter")
      const zero = yield* Effect.flip(extractLora(base, base, 0, at))
      assert.strictEqual(zero.message, "extract-lora: rank: expected a whole number of at least 1, got 0")
      const none = yield* Effect.flip(extractLora(base, base, 4, at))
      assert.strictEqual(
        none.message,
        "extract-lora: models: no linear layer or embedding differs from the base",
      )
      assert.deepStrictEqual(yield* list(directory), [])
    }),
  )

  it.effect(
    "is refused of weights that are not finite, and in a place that is taken, before it is computed",
    () =>
      Effect.gen(function* () {
        const base = yield* micro("base")
        const directory = yield* scratch
        const broken = yield* altered(base, join(directory, "broken"), ({ dtype, name, shape }, values) => ({
          dtype,
          name,
          shape,
          values: name === up ? values.with(7, Infinity) : values,
        }))
        const infinite = yield* Effect.flip(extractLora(base, broken, 4, join(directory, "adapter")))
        assert.strictEqual(
          infinite.message,
          `extract-lora: models: tensor ${up}: element 7 of the model is Infinity; weights must be finite`,
        )
        const taken = yield* Effect.flip(extractLora(base, broken, 4, join(directory, "broken")))
        assert.match(taken.message, /broken: is not empty: name a new directory$/)
        assert.deepStrictEqual(yield* list(directory), ["broken"])
      }),
  )
})
