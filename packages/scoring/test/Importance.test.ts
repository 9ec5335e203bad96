import { assert, describe, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { Checkpoint, Runtime, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Importance from "../src/Importance.ts"
import * as Stages from "../src/stages.ts"
import * as Statistics from "../src/Statistics.ts"
import { checkpointPath, examples, hasShared, oracle } from "./fixtures.ts"

const Live = Layer.mergeAll(Runtime.layer, Stage.layerDetached)

describe.skipIf(!hasShared)("importance against the reference scores (needs ../shared)", () => {
  layer(Live)((it) => {
    it.effect("sums a stage's table up from the same differences", () =>
      Effect.gen(function* () {
        const reference = oracle("code")
        const base = yield* Checkpoint.open(checkpointPath("base"))
        const expert = yield* Checkpoint.open(checkpointPath("code"))
        const table = yield* Stages.importance.run(
          { base, expert, golden: examples(reference) },
          { scheme: "kvGroup", method: "symmetric" },
        )
        const { residual: _, units } = yield* Unit.partition(expert, "kvGroup")
        assert.deepStrictEqual(
          table.rows.map((row) => [row.unit, row.size]),
          units.map((unit) => [unit.id, unit.size]),
        )
        for (const row of table.rows) {
          const unit = reference.units.find(
            ({ index, kind, layer }) => kind === row.kind && layer === row.layer && index === row.index,
          )
          const symmetric = (unit?.revert ?? []).map((revert, k) => (revert + (unit?.add[k] ?? 0)) / 2)
          assert.approximately(row.score, Statistics.mean(symmetric), 1e-4, row.unit)
          assert.approximately(row.standardError, Statistics.standardError(symmetric), 1e-4, row.unit)
        }
        const heads = table.rows.filter((row) => row.kind !== "mlp")
        assert.approximately(Statistics.mean(heads.map((row) => row.relative)), 1, 1e-9)
      }),
    )
  })
})

layer(Live)("importance", (it) => {
  const sample = (answer: number) => ({
    prompt: "",
    response: "",
    tokens: [1, 51, 28, 223, 20, 35, 28, 223, answer, 201],
    promptLength: 7,
  })

  it.effect("scores 0 everywhere between identical models, and calls all units alike", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(checkpointPath("base"))
      const table = yield* Stages.importance.run(
        { base, expert: base, golden: [sample(20), sample(21)] },
        { scheme: "queryHead", method: "symmetric" },
      )
      assert.strictEqual(table.rows.length, 4 * (8 + 4 + 1))
      for (const row of table.rows) {
        assert.deepStrictEqual([row.score, row.standardError, row.relative], [0, 0, 1], row.unit)
      }
    }),
  )

  it.effect("refuses golden data too small for a standard error, in one line", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(checkpointPath("base"))
      for (const golden of [[], [sample(20)]]) {
        const error = yield* Effect.flip(
          Stages.importance.run({ base, expert: base, golden }, { scheme: "kvGroup", method: "revert" }),
        )
        assert.strictEqual(
          error.message,
          "importance: needs 2 golden examples or more for a standard error, " +
            `got ${golden.length}; give more questions`,
        )
        assert.strictEqual(error.blame, "input")
      }
    }),
  )

  it.effect("measures magnitude as the length of each unit's change", () =>
    Effect.gen(function* () {
      const [base, expert] = [
        yield* Checkpoint.open(checkpointPath("base")),
        yield* Checkpoint.open(checkpointPath("math")),
      ]
      const { units } = yield* Unit.partition(expert, "kvGroup")
      const golden = [sample(20), sample(21)]
      const got = yield* Importance.values(
        { base, expert, golden, units, seed: 0, quadrature: 8 },
        "magnitude",
      )
      // The same, scalar by scalar over whole tensors.
      for (const [index, unit] of units.entries()) {
        let sum = 0
        for (const { axis, end, start, tensor } of unit.slices) {
          const [before, after] = [
            yield* Checkpoint.readFloat32(base, tensor),
            yield* Checkpoint.readFloat32(expert, tensor),
          ]
          const columns = base.tensors.get(tensor)!.shape[1] ?? 1
          before.forEach((value, at) => {
            const place = axis === 0 ? Math.floor(at / columns) : at % columns
            if (place >= start && place < end) sum += (after[at]! - value) ** 2
          })
        }
        assert.closeTo(got[index]![0]!, Math.sqrt(sum), 1e-9 * Math.sqrt(sum), unit.id)
      }
    }),
  )

  it.effect("draws random importance by seed and unit alone, and ranks layers by depth", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(checkpointPath("base"))
      const { units } = yield* Unit.partition(base, "kvGroup")
      const input = { base, expert: base, golden: [sample(20), sample(21)], quadrature: 8 }
      const of = (few: typeof units, seed: number) =>
        Importance.values({ ...input, units: few, seed }, "random")
      const [all, again, other] = [yield* of(units, 1), yield* of(units.slice(3), 1), yield* of(units, 2)]
      assert.deepStrictEqual(all.slice(3), again)
      assert.notDeepEqual(all, other)
      const draws = [all, other].flat(2)
      assert.isTrue(draws.every((value) => value >= 0 && value < 1))
      assert.strictEqual(new Set(draws).size, draws.length)
      const depth = yield* Importance.values({ ...input, units, seed: 0 }, "layer")
      assert.deepStrictEqual(
        depth.flat(),
        units.map(({ layer }) => (layer + 1) / 4),
      )
    }),
  )
})
