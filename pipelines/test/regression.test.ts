import { assert, describe, it, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { Stages as Merging, type UnitWeights } from "@hila/merge"
import { Checkpoint, Runtime, Unit, WeightStatistics } from "@hila/model"
import { Stages as Scoring } from "@hila/scoring"
import { Effect, Layer } from "effect"
import { fileURLToPath } from "node:url"
import { damping, inputsOf, stiffness, weighed } from "../stages/Factors.ts"
import { shrunkRows } from "../stages/Shrunk.ts"

const open = (name: string) =>
  Checkpoint.open(fileURLToPath(new URL(`../../fixtures/micro/${name}`, import.meta.url)))

const examples = [3, 11].map((first) => ({
  prompt: "",
  response: "",
  tokens: [1, ...Array.from({ length: 9 }, (_, i) => 4 + ((first * (i + 5)) % 300))],
  promptLength: 4,
}))

/** Base, two specialists and their factors, in full and by blocks. */
const material = Effect.gen(function* () {
  const base = yield* open("base")
  const experts = [yield* open("math"), yield* open("code")]
  const of = (blocked: boolean) =>
    Effect.forEach(experts, (model) =>
      Scoring.statistics.run({ model, examples }, { kind: "kronecker", blocked }),
    )
  return { base, experts, full: yield* of(false), blocked: yield* of(true) }
})

/** The same coefficients for all units, or one of its own for some. */
const coefficients = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  weights: (unit: Unit.Unit) => ReadonlyArray<number>,
) {
  const { units } = yield* Unit.partition(base, "kvGroup")
  return {
    scheme: "kvGroup",
    experts: weights(units[0]!).length,
    meaning: "coefficient",
    rows: units.map((unit) => {
      const { id, index, layer: at, size } = unit
      const kind = id.endsWith("mlp") ? ("mlp" as const) : ("kvGroup" as const)
      return { unit: id, kind, layer: at, index, size, weights: weights(unit) }
    }),
  } satisfies UnitWeights.UnitWeights
})

const valuesOf = (statistics: WeightStatistics.WeightStatistics, name: string) =>
  WeightStatistics.read(statistics.tensors.get(name)!)
const none = { masks: [], layerWeights: [], unitWeights: [] }
const query = "model.layers.1.self_attn.q_proj.weight"

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("regression fusion by units", (it) => {
  it.effect(
    "weighs rows and columns of a factor, in full and by blocks, and changes nothing at equal shares",
    () =>
      Effect.gen(function* () {
        const { base, blocked, full } = yield* material
        const even = yield* coefficients(base, () => [1, 1])
        const uneven = yield* coefficients(base, ({ id }) => [1, id === "layers.1.kvGroup.2" ? 4 : 1])
        const name = `${query}.outputGradient`
        for (const statistics of [full[1]!, blocked[1]!]) {
          const own = { model: base, statistics }
          const same = yield* weighed.run({ ...own, weights: even }, { expert: 1 })
          const before = yield* valuesOf(statistics, name)
          assert.deepStrictEqual(yield* valuesOf(same, name), before)
          const other = yield* weighed.run({ ...own, weights: uneven }, { expert: 1 })
          const after = yield* valuesOf(other, name)
          const size = statistics.tensors.get(name)!.shape.at(-1)!
          // Two query heads of 16 rows are of the group.
          const inGroup = (row: number) => row >= 64 && row < 96
          for (let at = 0; at < before.length; at += 7) {
            const row = Math.floor(at / size)
            const column = size * Math.floor(row / size) + (at % size)
            const factor = (inGroup(row) ? 2 : 1) * (inGroup(column) ? 2 : 1)
            assert.closeTo(after[at]!, factor * before[at]!, 1e-6 * Math.abs(factor * before[at]!))
          }
          const first = yield* weighed.run({ ...own, weights: uneven }, { expert: 0 })
          assert.deepStrictEqual(yield* valuesOf(first, name), before)
        }
      }),
    180_000,
  )

  it.effect(
    "has the ridge of the method where it is as strong in all units, and more of task arithmetic where it is stiff",
    () =>
      Effect.gen(function* () {
        const { base, blocked: statistics, experts } = yield* material
        const arithmetic = yield* Merging.merge.run(
          { ...none, base: [base], models: experts, statistics: [] },
          { method: "task_arithmetic", parameters: { lambda: 0.4 }, dtype: "float32", seed: 0 },
        )
        const solved = (models: ReadonlyArray<Checkpoint.Checkpoint>, own: typeof statistics, rho: number) =>
          Merging.merge.run(
            { ...none, base: [base], models, statistics: own },
            {
              method: "factored",
              parameters: {
                rho,
                lambda: 0.4,
                lambda_rest: 0,
                embedding: false,
                iterations: 60,
                tolerance: 1e-7,
              },
              dtype: "float32",
              seed: 0,
            },
          )
        const stiff = Effect.fnUntraced(function* (strength: number) {
          const weights = yield* coefficients(base, () => [strength])
          const pull = yield* damping.run({ model: base, statistics, weights }, { rho: 2 })
          const merged = yield* solved([...experts, arithmetic], [...statistics, pull], 0)
          return yield* Checkpoint.readFloat32(merged, query)
        })
        const distance = (a: Float32Array, b: Float32Array) =>
          Math.hypot(...a.map((value, i) => value - b[i]!))
        const plain = yield* Checkpoint.readFloat32(yield* solved(experts, statistics, 2), query)
        const target = yield* Checkpoint.readFloat32(arithmetic, query)
        const far = distance(plain, target)
        // The pull is to task arithmetic as it was written, rounded to the base's type.
        assert.isBelow(distance(yield* stiff(1), plain), 0.05 * far)
        assert.isBelow(distance(yield* stiff(50), target), 0.5 * far)
      }),
    180_000,
  )

  it.effect("takes inputs from one file and all else from the other", () =>
    Effect.gen(function* () {
      const { full } = yield* material
      const [gradients, inputs] = [full[0]!, full[1]!]
      const both = yield* inputsOf.run({ gradients, inputs }, {})
      for (const factor of ["input", "outputGradient"]) {
        const name = `${query}.${factor}`
        const from = factor === "input" ? inputs : gradients
        assert.deepStrictEqual(yield* valuesOf(both, name), yield* valuesOf(from, name))
      }
    }),
  )

  it.effect("is stiffer where nobody's importance is, with mean 1 inside each kind", () =>
    Effect.gen(function* () {
      const base = yield* open("base")
      const { rows } = yield* coefficients(base, () => [1])
      const table = {
        scheme: "kvGroup" as const,
        method: "revert",
        rows: rows.map((row) => {
          const relative = row.unit === "layers.0.kvGroup.0" ? 16 : 0
          return { ...row, score: relative, standardError: 0, relative }
        }),
      }
      const found = yield* stiffness.run({ importance: [table] }, { gamma: 1 })
      const heads = found.rows.filter(({ kind }) => kind === "kvGroup").map(({ weights }) => weights[0]!)
      assert.closeTo(heads.reduce((sum, value) => sum + value, 0) / heads.length, 1, 1e-9)
      assert.closeTo(heads[1]! / heads[0]!, 17, 1e-9)
    }),
  )
})

describe("shrunk importance", () => {
  const row = (score: number, standardError: number, relative: number) => {
    const place = { unit: `${score} ${standardError}`, kind: "mlp" as const, layer: 0, index: 0, size: 1 }
    return { ...place, score, standardError, relative }
  }

  it("leaves what is sure as it is, takes what is unknown for ordinary, and keeps the mean at 1", () => {
    const sure = [row(3, 0, 1.5), row(1, 0, 0.5)]
    assert.deepStrictEqual(
      shrunkRows(sure).map(({ relative }) => relative),
      [1.5, 0.5],
    )
    const unknown = shrunkRows([row(3, 1e9, 1.5), row(0, 0, 0), row(1, 1e9, 1.5)])
    for (const { relative } of unknown) assert.closeTo(relative, 1, 1e-9)
    const mixed = shrunkRows([row(3, 1, 2.4), row(0.1, 1, 0.1), row(-1, 2, 0.5)])
    assert.closeTo(mixed.reduce((sum, { relative }) => sum + relative, 0) / 3, 1, 1e-12)
    assert.isTrue(mixed.every(({ score, standardError }) => score > 0 && standardError === 0))
  })
})
