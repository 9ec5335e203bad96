import { assert, describe, it } from "@effect/vitest"
import { Artifact, Stage } from "@hila/core"
import { Mask, prune, Stages, taskArithmetic, UnitWeights } from "@hila/merge"
import { Checkpoint, UnitTable } from "@hila/model"
import { names, versions } from "../src/methods/names.ts"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { experts, micro, scratch, table, tensorBytes } from "./support.ts"

/** A value written by its artifact and read back. */
const roundTrip = Effect.fnUntraced(function* <A>(artifact: Artifact.Artifact<A>, value: A, path: string) {
  yield* artifact.encode(value, path)
  return yield* artifact.decode({ _tag: "File", path, size: 0, digest: "" })
})

describe("stages", () => {
  it.effect("run the plain functions in a directory of their own", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const models = yield* experts
      const importance = yield* table(base)
      const directory = yield* scratch
      const params = { density: 1, dropFraction: 0, gamma: 1, rhoMin: 0.05 }
      const masks = yield* Effect.forEach(models, (expert, index) =>
        prune({ base, expert, importance }, params, join(directory, `${index}.safetensors`)),
      )
      const weights = yield* Stages.adaptiveWeights.run(
        { importance: [importance, importance, importance] },
        { temperature: 1 },
      )
      const fused = yield* Stages.fuse.run(
        { base, experts: models, masks, weights },
        { lambda: 0.4, residual: "mean" },
      )
      const expected = yield* taskArithmetic(
        { base, experts: models },
        { lambda: 0.4 },
        join(directory, "ta"),
      )
      assert.deepStrictEqual(yield* tensorBytes(fused), yield* tensorBytes(expected))
    }).pipe(Effect.provide(Stage.layerDetached)),
  )

  it.effect("prune makes a mask that its artifact keeps and finds again", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const directory = yield* scratch
      const inputs = { base, expert: yield* micro("code"), importance: yield* table(base) }
      const mask = yield* Stages.prune.run(inputs, {
        density: 0.5,
        dropFraction: 0.1,
        gamma: 1,
        rhoMin: 0.05,
      })
      const back = yield* roundTrip(Mask.artifact, mask, join(directory, "kept"))
      assert.deepStrictEqual(back.units, mask.units)
      assert.deepStrictEqual(yield* tensorBytes(back), yield* tensorBytes(mask))
    }).pipe(Effect.provide(Stage.layerDetached)),
  )

  it.effect("unit weights survive their artifact", () =>
    Effect.gen(function* () {
      const importance = yield* table(yield* micro("base"), (unit) => 1 / (1 + unit))
      const weights = yield* Stages.adaptiveWeights.run(
        { importance: [importance, importance] },
        { temperature: 1 },
      )
      const path = join(yield* scratch, "weights.json")
      assert.deepStrictEqual(yield* roundTrip(UnitWeights.artifact, weights, path), weights)
    }).pipe(Effect.provide(Stage.layerDetached)),
  )

  it("name their parameters with defaults, and take any number of experts", () => {
    const base = Checkpoint.source("base")
    const importance = Stages.adaptiveWeights.inputs["importance"]
    assert.deepStrictEqual(importance, Stage.each(UnitTable.artifact))
    const merged = Stages.taskArithmetic({ base, experts: [base, base] }, { lambda: 0.3 })
    assert.deepStrictEqual(merged.encodedParams, { lambda: 0.3 })
    assert.deepStrictEqual(Stages.linear({ models: [base] }).encodedParams, {})
    const inputs = {
      base: [base],
      models: [base],
      masks: [],
      layerWeights: [],
      unitWeights: [],
      statistics: [],
    }
    // Methods of version 1 stand in the key by their names alone.
    for (const method of names.filter((name) => versions[name] === undefined)) {
      const { encodedParams } = Stages.merge(inputs, { method, parameters: { lambda: 0.3 } })
      assert.deepStrictEqual(encodedParams, { method, parameters: { lambda: 0.3 }, seed: 0 })
    }
  })
})
