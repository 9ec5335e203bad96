import { assert, describe, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { Checkpoint, LanguageModel, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Importance from "../src/Importance.ts"
import * as Stages from "../src/stages.ts"
import * as Statistics from "../src/Statistics.ts"
import { checkpointPath, examples, hasShared, oracle } from "./fixtures.ts"

const Live = Layer.mergeAll(LanguageModel.layer, Stage.layerDetached)

/** Base and expert of the micro family, ready to be moved between. */
const open = Effect.fn(function* (expertName: string) {
  const base = yield* Checkpoint.open(checkpointPath("base"))
  const expert = yield* Checkpoint.open(checkpointPath(expertName))
  const delta = yield* Effect.flatMap(LanguageModel, (service) => service.openDelta(base, expert))
  return { base, expert, delta }
})

const closeTo = (
  got: ReadonlyArray<number>,
  expected: ReadonlyArray<number>,
  tolerance: number,
  what: string,
) => {
  assert.strictEqual(got.length, expected.length, what)
  expected.forEach((value, k) =>
    assert.approximately(got[k] ?? Number.NaN, value, tolerance, `${what}, sample ${k}`),
  )
}

describe.skipIf(!hasShared)("importance against the reference scores (needs ../shared)", () => {
  layer(Live)((it) => {
    it.effect.each(["math", "code", "lang"])(
      "agrees for %s: losses, and revert and add of every unit",
      (name) =>
        Effect.gen(function* () {
          const reference = oracle(name)
          const golden = examples(reference)
          const { delta, expert } = yield* open(name)
          const losses = yield* Importance.references(delta, golden)
          closeTo(losses.base, reference.lossBase, 1e-5, "loss of the base")
          closeTo(losses.expert, reference.lossExpert, 1e-5, "loss of the expert")
          const compared = new Set<string>()
          for (const scheme of ["kvGroup", "queryHead"] as const) {
            const { units } = yield* Unit.partition(expert, scheme)
            for (const unit of units) {
              const expected = reference.units.find(
                ({ index, kind, layer }) =>
                  kind === unit.kind && layer === unit.layer && index === unit.index,
              )
              assert.isDefined(expected, unit.id)
              if (compared.has(unit.id)) continue
              compared.add(unit.id)
              for (const method of ["revert", "add"] as const) {
                const got = yield* Importance.ofUnit(delta, golden, losses, unit, method)
                closeTo(got, expected?.[method] ?? [], 1e-4, `${method} of ${unit.id}`)
              }
            }
          }
          // 4 layers of 4 groups, 8 query heads, 4 key-value heads and an MLP.
          assert.strictEqual(compared.size, 4 * (4 + 8 + 4 + 1))
        }).pipe(Effect.scoped),
    )

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
})
