import { assert, describe, it } from "@effect/vitest"
import { adaptiveWeights, fuse, linear, type Mask, MergeError, prune, taskArithmetic } from "@hila/merge"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { altered, bytesOf, list, micro, scratch, table, tensorBytes } from "./support.ts"

const up = "model.layers.1.mlp.up_proj.weight"
const keep = { density: 0.5, dropFraction: 0, gamma: 1, rhoMin: 0.05 }

/** The one line a merge is refused with; the directory that was to be written must not be there. */
const refusal = <A, E, R>(merge: (path: string) => Effect.Effect<A, E | MergeError, R>) =>
  Effect.gen(function* () {
    const directory = yield* scratch
    const error = yield* Effect.flip(merge(join(directory, "merged")))
    assert.instanceOf(error, MergeError)
    if (!(error instanceof MergeError)) return ""
    assert.strictEqual(error.blame, "input")
    assert.notInclude(error.message, "\n")
    assert.deepStrictEqual(yield* list(directory), [])
    return error.message
  })

describe("pre-flight", () => {
  it.effect("refuses a missing tensor, one too many, another shape and a dtype without arithmetic", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const expert = yield* micro("math")
      const merge = (other: Checkpoint.Checkpoint, model = base) =>
        refusal((path) => taskArithmetic({ base: model, experts: [expert, other] }, { lambda: 1 }, path))

      const less = yield* altered(expert, join(directory, "less"), ({ dtype, name, shape }, values) =>
        name === up ? undefined : { dtype, name, shape, values },
      )
      assert.strictEqual(
        yield* merge(less),
        `taskArithmetic: models 2: tensor ${up} is missing in model 2; base has it`,
      )
      assert.strictEqual(
        yield* merge(less, less),
        `taskArithmetic: models 1: model 1 has the tensor ${up}; base has no such tensor`,
      )
      const turned = yield* altered(expert, join(directory, "turned"), ({ dtype, name, shape }, values) => ({
        dtype,
        name,
        shape: name === up ? shape.toReversed() : shape,
        values,
      }))
      assert.strictEqual(
        yield* merge(turned),
        `taskArithmetic: models 2: tensor ${up} of model 2 has shape [128, 384], expected [384, 128] as in base (${join(directory, "turned", "model.safetensors")})`,
      )
      const quantised = yield* altered(
        expert,
        join(directory, "quantised"),
        ({ dtype, name, shape }, values) => ({
          dtype: name === up ? "F8_E4M3" : dtype,
          name,
          shape,
          values,
        }),
      )
      assert.strictEqual(
        yield* merge(quantised),
        `taskArithmetic: models 2: model 2 is quantised as F8_E4M3 (${up} of model.safetensors is F8_E4M3 [384, 128]): codes cannot be computed with; use the full-precision model, or dequantise it first`,
      )
    }),
  )

  it.effect("refuses parameters that do not fit the models", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const models = [base, yield* micro("math")]
      assert.strictEqual(
        yield* refusal((path) => linear({ models }, { weights: [1] }, path)),
        "linear: weights: expected 2 numbers, one per model, got 1",
      )
      assert.strictEqual(
        yield* refusal((path) => linear({ models }, { weights: [1, -1] }, path)),
        "linear: merge_method: linear: the weights sum to zero and cannot be normalised; change them or set normalize: false (tensor model.embed_tokens.weight)",
      )
      assert.strictEqual(
        yield* refusal((path) => linear({ models: [] }, {}, path)),
        "linear: models: expected at least one, got none",
      )
      assert.strictEqual(
        yield* refusal((path) => taskArithmetic({ base, experts: models }, { lambda: Number.NaN }, path)),
        "taskArithmetic: lambda: expected a finite number, got NaN",
      )
    }),
  )

  it.effect("refuses weights, tables and masks of other units or another number of experts", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const [a, b] = [yield* micro("math"), yield* micro("code")]
      const importance = yield* table(base)
      const heads = yield* table(base, () => 1, "queryHead")
      const path = (name: string) => join(directory, `${name}.safetensors`)
      const masks = [
        yield* prune({ base, expert: a, importance }, keep, path("a")),
        yield* prune({ base, expert: b, importance }, keep, path("b")),
      ]
      const weights = yield* adaptiveWeights({ importance: [importance, importance] }, { temperature: 1 })
      const merge = (changed: { masks?: ReadonlyArray<Mask.Mask>; weights?: typeof weights }) =>
        refusal((to) => fuse({ base, experts: [a, b], masks, weights, ...changed }, { lambda: 1 }, to))

      assert.strictEqual(
        yield* merge({ masks: masks.slice(1) }),
        "fuse: masks: expected 2, one per model, or none, got 1",
      )
      assert.strictEqual(
        yield* merge({ weights: yield* adaptiveWeights({ importance: [importance] }, { temperature: 1 }) }),
        "fuse: unit_weights: unit weights: made for 1 experts, got 2 experts",
      )
      assert.strictEqual(
        yield* merge({ weights: { ...weights, rows: weights.rows.slice(0, 5) } }),
        "fuse: unit_weights: unit weights: has 5 units, expected 20; it was made for another model",
      )
      assert.match(
        yield* merge({ masks: [masks[0]!, { ...masks[1]!, tensors: new Map() }] }),
        /^fuse: models 2 mask: mask 2: tensor model\.layers\.0\..*: expected bits U8 \[\d+, \d+\], got none \(.*b\.safetensors\)$/,
      )
      const mixed = yield* Effect.flip(
        adaptiveWeights({ importance: [importance, heads] }, { temperature: 1 }),
      )
      assert.strictEqual(
        mixed.message,
        "adaptiveWeights: importance 2: has scheme queryHead, table 1 has kvGroup",
      )
    }),
  )

  it.effect("refuses models whose configs divide the same tensors differently", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const expert = yield* micro("math")
      const config = join(directory, "config.json")
      const text = (yield* bytesOf(expert.files["config.json"]!)).toString()
      // Of layers that a config does not count, tensors are there all the same.
      const changed = text.replace('"num_hidden_layers": 4', '"num_hidden_layers": 3')
      assert.notStrictEqual(changed, text)
      yield* Effect.promise(() => writeFile(config, changed))
      const other = yield* Checkpoint.fromFiles({ ...expert.files, "config.json": config }, directory)
      assert.strictEqual(
        yield* refusal((path) =>
          Effect.flatMap(table(base), (importance) => prune({ base, expert: other, importance }, keep, path)),
        ),
        "prune: models 1: model 1 has 3 layers, base has 4: models are merged whole where they are equally deep; take layers of each with slices",
      )
    }),
  )

  it.effect("refuses to write NaN, naming the tensor, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const broken = yield* altered(yield* micro("math"), join(directory, "broken"), (tensor, values) => {
        if (tensor.name === up) values[7] = Number.NaN
        return { ...tensor, values }
      })
      assert.strictEqual(
        yield* refusal((path) => taskArithmetic({ base, experts: [broken] }, { lambda: 1 }, path)),
        `taskArithmetic: model 1: tensor ${up}: element 7 is NaN; weights must be finite (${broken.files["model.safetensors"]})`,
      )
      assert.strictEqual(
        yield* refusal((path) =>
          Effect.flatMap(table(base), (importance) =>
            prune({ base, expert: broken, importance }, keep, path),
          ),
        ),
        `prune: model 1: tensor ${up}: element 7 is NaN; weights must be finite (${broken.files["model.safetensors"]})`,
      )
    }),
  )

  it.effect("merges a stored head once where the config ties it to the embedding", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const expert = yield* micro("math")
      // The embedding stored a second time, under the head's name, as older checkpoints have it.
      const twice: Checkpoint.Checkpoint = {
        ...expert,
        tensors: new Map([
          ...expert.tensors,
          ["lm_head.weight", { ...expert.tensors.get("model.embed_tokens.weight")!, name: "lm_head.weight" }],
        ]),
      }
      const merged = yield* taskArithmetic({ base, experts: [twice] }, { lambda: 1 }, join(directory, "a"))
      assert.deepStrictEqual(yield* tensorBytes(merged), yield* tensorBytes(expert))
      const same = yield* linear({ models: [twice, twice] }, {}, join(directory, "b"))
      assert.isFalse(same.tensors.has("lm_head.weight"))
    }),
  )

  it.effect("copies tensors of integers from the base", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const add = (model: Checkpoint.Checkpoint, name: string) =>
        altered(model, join(directory, name), (tensor, values) =>
          tensor.name === "model.norm.weight" ? { ...tensor, dtype: "I64", values } : { ...tensor, values },
        )
      const base = yield* add(yield* micro("base"), "base")
      const expert = yield* add(yield* micro("math"), "expert")
      const merged = yield* taskArithmetic(
        { base, experts: [expert] },
        { lambda: 0.5 },
        join(directory, "merged"),
      )
      const norm = (model: Checkpoint.Checkpoint) =>
        Effect.map(tensorBytes(model), (tensors) => tensors["model.norm.weight"])
      assert.strictEqual(merged.tensors.get("model.norm.weight")!.dtype, "I64")
      assert.strictEqual(yield* norm(merged), yield* norm(base))
    }),
  )

  it.effect("writes config, tokenizer and generation_config byte for byte", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const path = join(yield* scratch, "merged")
      const merged = yield* linear({ models: [base, yield* micro("code")] }, {}, path)
      assert.sameMembers(Object.keys(merged.files), ["README.md", ...Object.keys(base.files)])
      for (const name of [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
      ]) {
        assert.isTrue((yield* bytesOf(merged.files[name]!)).equals(yield* bytesOf(base.files[name]!)), name)
      }
    }),
  )
})
