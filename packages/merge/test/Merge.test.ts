import { assert, describe, it } from "@effect/vitest"
import { adaptiveWeights, fuse, type LayerWeights, prune, type UnitWeights } from "@hila/merge"
import { names } from "../src/methods/names.ts"
import { definitions } from "../src/methods/registry.ts"
import { merge, mergeRecipe, type MergeInputs, type MergeParams } from "@hila/merge/Recipe"
import { Checkpoint, LayerGroup, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { copyFile, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { list, micro, scratch, table, tensorBytes } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))

/** A merge into a new directory, and the result's values by tensor. */
const merged = Effect.fnUntraced(function* (inputs: MergeInputs, params: MergeParams) {
  const result = yield* merge(inputs, { dtype: "float32", ...params }, join(yield* scratch, "merged"), {
    digests: false,
  })
  return { result, values: yield* valuesOf(result) }
})

const valuesOf = (checkpoint: Checkpoint.Checkpoint) =>
  Effect.map(
    Effect.forEach(checkpoint.tensors.keys(), (name) =>
      Effect.map(Checkpoint.readFloat32(checkpoint, name), (values) => [name, values] as const),
    ),
    (entries) => new Map(entries),
  )

/** Coefficients that differ by layer. */
const layers = (base: Checkpoint.Checkpoint, experts: number): LayerWeights.LayerWeights => {
  const groups = [...new Set([...base.tensors.keys()].map(LayerGroup.of))]
  return {
    experts,
    rows: groups.map((group, row) => ({
      group,
      weights: Array.from({ length: experts }, (_, expert) => 0.25 * (row + 1) - 0.5 * expert),
    })),
  }
}

/** Coefficients that differ by unit. */
const units = Effect.fnUntraced(function* (base: Checkpoint.Checkpoint, experts: number) {
  const found = yield* Unit.partition(base, "kvGroup")
  const weights = (unit: number) =>
    Array.from({ length: experts }, (_, expert) => 0.5 + unit / 8 - expert / 4)
  const rows = found.units.map(({ id, index, kind, layer, size }, at) => ({
    unit: id,
    kind,
    layer,
    index,
    size,
    weights: weights(at),
  }))
  const result: UnitWeights.UnitWeights = { scheme: "kvGroup", experts, meaning: "coefficient", rows }
  return { units: found.units, table: result }
})

/** The coefficient of each element by unit; 1 outside of them. */
const byElement = (
  parts: ReadonlyArray<Unit.Unit>,
  weightsOf: (unit: number) => number,
  { name, shape }: { readonly name: string; readonly shape: ReadonlyArray<number> },
) => {
  const columns = shape.length < 2 ? 1 : shape.at(-1)!
  const result = new Float64Array(shape.reduce((product, extent) => product * extent, 1)).fill(1)
  for (const [at, { slices }] of parts.entries()) {
    for (const { axis, end, start, tensor } of slices) {
      if (tensor !== name) continue
      for (let i = 0; i < result.length; i++) {
        const place = axis === 0 ? Math.floor(i / columns) : i % columns
        if (place >= start && place < end) result[i] = weightsOf(at)
      }
    }
  }
  return result
}

const worst = (
  got: ReadonlyMap<string, Float32Array>,
  expected: (name: string, index: number) => number,
): number => {
  let most = 0
  for (const [name, values] of got)
    for (const [i, value] of values.entries()) most = Math.max(most, Math.abs(value - expected(name, i)))
  return most
}

// Means of directions are no sums of task vectors, what consensus keeps depends on the sum, and LED needs statistics.
const others: ReadonlyArray<string> = ["multislerp", "nuslerp", "model_stock", "consensus_ta", "led"]
const weighs = names.filter((name) => definitions[name].taskVectors && !others.includes(name))

/** What makes a method do something to one task vector. */
const parameters: Readonly<Record<string, MergeParams["parameters"]>> = {
  ties: { density: 0.4 },
  dare_linear: { density: 0.5 },
  dare_ties: { density: 0.5 },
  della: { density: 0.5 },
  breadcrumbs: { density: 0.5 },
}

describe("coefficients by layer and unit", () => {
  for (const method of weighs) {
    it.effect(`weigh what ${method} leaves of a task vector`, () =>
      Effect.gen(function* () {
        const [base, expert] = [yield* micro("base"), yield* micro("math")]
        const inputs = { base, models: [expert] }
        const params = { method, parameters: parameters[method] ?? {} }
        const before = yield* valuesOf(base)
        const plain = yield* merged(inputs, params)
        const own = layers(base, 1)
        const byUnit = yield* units(base, 1)
        const weighed = yield* merged(
          { ...inputs, layerWeights: [own], unitWeights: [byUnit.table] },
          { ...params, residual: "uniform" },
        )
        const coefficient = new Map(own.rows.map(({ group, weights: [weight] }) => [group, weight!]))
        const parts = new Map(
          [...base.tensors.values()].map((info) => [
            info.name,
            byElement(byUnit.units, (unit) => byUnit.table.rows[unit]!.weights[0]!, info),
          ]),
        )
        const difference = worst(weighed.values, (name, i) => {
          const from = before.get(name)![i]!
          return (
            from +
            coefficient.get(LayerGroup.of(name))! *
              parts.get(name)![i]! *
              (plain.values.get(name)![i]! - from)
          )
        })
        assert.isBelow(difference, 2e-6)
      }),
    )
  }

  it.effect("are task arithmetic with masks as fuse does it, bit for bit", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const models = [yield* micro("math"), yield* micro("code")]
      const directory = yield* scratch
      const importance = [yield* table(base, (at) => 1 + at), yield* table(base, (at) => 21 - at)]
      const masks = yield* Effect.forEach(models, (expert, index) =>
        prune(
          { base, expert, importance: importance[index]! },
          { density: 0.4, dropFraction: 0, gamma: 1, rhoMin: 0.05 },
          join(directory, `${index}.safetensors`),
        ),
      )
      const weights = yield* adaptiveWeights({ importance }, { temperature: 1 })
      const fused = yield* fuse(
        { base, experts: models, masks, weights },
        { lambda: 0.4 },
        join(directory, "f"),
      )
      const result = yield* merge(
        { base, models, masks, unitWeights: [weights] },
        { method: "task_arithmetic", parameters: { lambda: 0.4 } },
        join(directory, "m"),
      )
      assert.deepStrictEqual(yield* tensorBytes(result), yield* tensorBytes(fused))
      const card = yield* Effect.promise(() => readFile(join(directory, "m", "README.md"), "utf8"))
      assert.include(card, "masks: model 1 keeps 0.400, model 2 keeps 0.400")
    }),
  )

  it.effect("come from files that a recipe names, relative to it", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const models = [yield* micro("math"), yield* micro("code")]
      const directory = yield* scratch
      const importance = yield* table(base)
      const mask = yield* prune(
        { base, expert: models[1]!, importance },
        { density: 0.3, dropFraction: 0, gamma: 1, rhoMin: 0.05 },
        join(directory, "code.mask"),
      )
      const byUnit = yield* units(base, 2)
      const own = layers(base, 2)
      yield* Effect.promise(() => writeFile(join(directory, "sigma.json"), JSON.stringify(own)))
      yield* Effect.promise(() => writeFile(join(directory, "units.json"), JSON.stringify(byUnit.table)))
      const full = yield* prune(
        { base, expert: models[0]!, importance },
        { density: 1, dropFraction: 0, gamma: 1, rhoMin: 0.05 },
        join(directory, "math.mask"),
      )
      const recipe = `merge_method: ties
base_model: ${family}base
models:
- {model: ${family}math}
- {model: ${family}code, mask: code.mask}
parameters: {weight: 1, density: 0.5}
layer_weights: sigma.json
unit_weights: {path: units.json, residual: base}
`
      yield* Effect.promise(() => writeFile(join(directory, "recipe.yml"), recipe))
      const byRecipe = yield* mergeRecipe(join(directory, "recipe.yml"), join(directory, "r"), {
        digests: false,
      })
      const byValue = yield* merge(
        { base, models, masks: [full, mask], layerWeights: [own], unitWeights: [byUnit.table] },
        { method: "ties", parameters: { density: 0.5 }, residual: "base" },
        join(directory, "v"),
      )
      assert.deepStrictEqual(yield* tensorBytes(byRecipe), yield* tensorBytes(byValue))
    }),
  )

  it.effect("that do not fit are refused in one line", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const models = [yield* micro("math")]
      const refused = Effect.fnUntraced(function* (
        inputs: Partial<MergeInputs>,
        params: Partial<MergeParams> = {},
      ) {
        const path = join(yield* scratch, "merged")
        const all = { base, models, ...inputs }
        return (yield* Effect.flip(merge(all, { method: "ties", ...params }, path))).message
      })
      const { experts, rows } = layers(base, 1)
      assert.strictEqual(
        yield* refused({ layerWeights: [layers(base, 2)] }),
        "ties: layer_weights: layer weights: made for 2 experts, got 1 experts",
      )
      assert.strictEqual(
        yield* refused({ layerWeights: [{ experts, rows: rows.slice(1) }] }),
        `ties: layer_weights: layer weights: there is no row for the group ${rows[0]!.group}`,
      )
      assert.strictEqual(
        yield* refused({
          layerWeights: [{ experts, rows: [...rows, { group: "model.layer.0", weights: [1] }] }],
        }),
        'ties: layer_weights: layer weights: the models have no group "model.layer.0", did you mean "model.layers.0"?',
      )
      assert.include(
        yield* refused({ layerWeights: [{ experts, rows }] }, { method: "linear" }),
        "linear: layer_weights: layer_weights: linear has no task vectors that it could weigh; methods that do: ",
      )
      assert.strictEqual(
        yield* refused({}, { parameters: { nomalize: true } }),
        'ties: parameters nomalize: unknown parameter "nomalize" for ties, did you mean "normalize"?',
      )
      assert.strictEqual(yield* refused({ models: [] }), "ties: models: expected at least one, got none")
    }),
  )

  it.effect(
    "named by a recipe that are not there, or belong to another model, are refused with their place",
    () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const recipe = join(directory, "recipe.yml")
        const text = `merge_method: ties\nbase_model: ${family}base\nmodels:\n- model: ${family}math\n  mask: math.mask\nparameters: {weight: 1}\n`
        yield* Effect.promise(() => writeFile(recipe, text))
        const fails = Effect.map(Effect.flip(mergeRecipe(recipe, join(directory, "merged"))), ({ message }) =>
          message.replaceAll(`${directory}/`, ""),
        )
        assert.match(
          yield* fails,
          /^recipe\.yml:5:9: there is no file math\.mask \(looked for math\.mask and /,
        )
        yield* Effect.promise(() => copyFile(`${family}base/model.safetensors`, join(directory, "math.mask")))
        assert.match(yield* fails, /^recipe\.yml:5:9: .*the header has no metadata named mask/)
        assert.deepStrictEqual((yield* list(directory)).toSorted(), ["math.mask", "recipe.yml"])
      }),
  )
})
