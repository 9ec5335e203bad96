// Quantised checkpoints: refused in one line wherever weights would be computed with, and never called equal
// (cases 03-quantised-gptq, 03-quantised-bnb-int8, 16-compare-fp8).
import { assert, describe, it } from "@effect/vitest"
import { fuse, linear, prune } from "@hila/merge"
import { merge, mergeRecipe, preflight, Prepared } from "@hila/merge/Recipe"
import { Compare, extractLora, Inspect } from "@hila/merge/Tools"
import { Checkpoint, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { formats, write } from "./quantised.ts"
import { list, micro, scratch, table, tensorBytes } from "./support.ts"

const density = { density: 0.5, rhoMin: 0.1, gamma: 1, dropFraction: 0 }

const recipe = `merge_method: linear
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.5}}
`

for (const [name, format] of Object.entries(formats)) {
  describe(`a checkpoint quantised as ${name}`, () => {
    const pair = Effect.gen(function* () {
      const directory = yield* scratch
      const [a, b] = [
        yield* write(join(directory, "a"), format, 1),
        yield* write(join(directory, "b"), format, 2),
      ]
      return { directory, a, b }
    })

    it.effect("is refused by every way of merging, pruning and opening before a weight is read", () =>
      Effect.gen(function* () {
        const { a, b, directory } = yield* pair
        const file = join(directory, "recipe.yml")
        yield* Effect.promise(() => writeFile(file, recipe))
        const output = join(directory, "out")
        const importance = yield* table(yield* micro("base"))
        const weights = { ...importance, experts: 1, meaning: "share" as const, rows: [] }
        const errors = [
          yield* Effect.flip(mergeRecipe(file, output)),
          yield* Effect.flip(Effect.flatMap(Prepared.fromFile(file), (ready) => preflight(ready, output))),
          yield* Effect.flip(merge({ models: [a, b] }, { method: "linear" }, output)),
          yield* Effect.flip(merge({ base: a, models: [b] }, { method: "ties" }, output)),
          yield* Effect.flip(linear({ models: [a, b] }, { weights: [0.5, 0.5] }, output)),
          yield* Effect.flip(fuse({ base: a, experts: [b], masks: [], weights }, { lambda: 1 }, output)),
          yield* Effect.flip(prune({ base: a, expert: b, importance }, density, output)),
          yield* Effect.flip(extractLora(a, b, 2, output)),
          yield* Effect.flip(Checkpoint.validate(a)),
        ]
        for (const { blame, message } of errors) {
          assert.strictEqual(blame, "input")
          assert.notInclude(message, "\n")
          assert.include(message, `is quantised as ${name} (`)
          assert.include(message, "of model.safetensors is ")
          assert.include(message, "use the full-precision model, or dequantise it first")
          if (format.config !== undefined) assert.include(message, "quantization_config of config.json; ")
        }
        assert.include(errors[0]?.message, "recipe.yml:3:5: a is quantised as")
        assert.deepStrictEqual((yield* list(directory)).toSorted(), ["a", "b", "recipe.yml"])
      }),
    )

    it.effect("is known by its tensors alone, and in a section of config.json", () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const bare = yield* write(join(directory, "bare"), format, 1, (config) => config)
        assert.include((yield* Effect.flip(Checkpoint.validate(bare))).message, "is quantised as ")
        const nested = yield* write(join(directory, "nested"), format, 1, (config) => ({
          ...config,
          text_config: { quantization_config: format.config ?? { quant_method: name } },
        }))
        const { message } = yield* Effect.flip(Checkpoint.validate(nested))
        assert.include(message, `is quantised as ${name} (text_config.quantization_config of config.json; `)
      }),
    )

    it.effect("is told by inspect in a line, and by compare as not compared where codes differ", () =>
      Effect.gen(function* () {
        const { a, b } = yield* pair
        const found = yield* Inspect.inspect(a)
        assert.include(found.oddities[0], `is quantised as ${name} (`)
        assert.match(Inspect.render(found), /^weights +quantised as /m)

        const different = yield* Compare.compare(a, b)
        assert.strictEqual(different.total, null)
        const parts = Object.keys(format.stored(64, 64))
        assert.sameMembers(
          Object.keys(different.layers).filter((layer) => different.layers[layer] === null),
          ["0", "1", "2", "3"],
        )
        const skipped = Object.keys(different.notCompared)
        assert.strictEqual(skipped.length, 28 * parts.length)
        assert.include(Compare.gap(different), `${28 * parts.length} of ${a.tensors.size} tensors`)
        assert.include(Compare.render(different), "were not compared")

        const same = yield* Compare.compare(a, a)
        assert.deepStrictEqual(same.notCompared, {})
        assert.deepStrictEqual(same.total, { cosine: 1, relative: 0, largest: 0 })
        assert.strictEqual(Compare.gap(same), undefined)
      }),
    )
  })
}

describe("tensors of integers", () => {
  const name = "model.tally"
  const counted = (directory: string, from: string, value: number) =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      return yield* Checkpoint.write(join(directory, from), {
        like: base,
        tensors: [{ name, dtype: "I64", shape: [3] }, ...base.tensors.values()],
        data: (spec, put) =>
          spec.name === name
            ? put(new Uint8Array(24).fill(value))
            : Effect.flatMap(Safetensors.read(base.tensors.get(spec.name)!), put),
      })
    })

  it.effect("are copied where they are the same in all models", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const models = [yield* counted(directory, "a", 7), yield* counted(directory, "b", 7)]
      const byMethod = yield* merge({ models }, { method: "linear" }, join(directory, "one"))
      const byFunction = yield* linear({ models }, { weights: [1, 1] }, join(directory, "two"))
      for (const merged of [byMethod, byFunction])
        assert.strictEqual((yield* tensorBytes(merged))[name], "07".repeat(24))
    }),
  )

  it.effect("are refused by name where they differ", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const [a, b] = [yield* counted(directory, "a", 7), yield* counted(directory, "b", 8)]
      const file = join(directory, "recipe.yml")
      yield* Effect.promise(() => writeFile(file, recipe))
      const output = join(directory, "out")
      const errors = [
        yield* Effect.flip(mergeRecipe(file, output)),
        yield* Effect.flip(Effect.flatMap(Prepared.fromFile(file), (ready) => preflight(ready, output))),
        yield* Effect.flip(merge({ models: [a, b] }, { method: "linear" }, output)),
        yield* Effect.flip(linear({ models: [a, b] }, { weights: [1, 1] }, output)),
      ]
      for (const { blame, message } of errors) {
        assert.strictEqual(blame, "input")
        assert.include(
          message,
          `linear: models: tensor ${name}: holds integers (I64) that are not the same in `,
        )
      }
      assert.deepStrictEqual((yield* list(directory)).toSorted(), ["a", "b", "recipe.yml"])
      assert.deepStrictEqual(Object.keys((yield* Compare.compare(a, b)).notCompared), [name])
    }),
  )
})
