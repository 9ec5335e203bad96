import { assert, describe, it } from "@effect/vitest"
import type { UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Density from "../src/prune/Density.ts"
import { random } from "./support.ts"

const row = (index: number, fields: Partial<UnitTable.Row>): UnitTable.Row => ({
  unit: `layers.${index}.mlp`,
  kind: "mlp",
  layer: index,
  index: 0,
  size: 1000,
  score: 1,
  standardError: 0,
  relative: 1,
  ...fields,
})

const params = { density: 0.5, dropFraction: 0, gamma: 1, rhoMin: 0.05 }
const sum = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)

describe("Density", () => {
  it.effect("keeps the budget exactly for many densities, sizes and scores", () =>
    Effect.gen(function* () {
      const next = random(3)
      let reached = 0
      for (let round = 0; round < 400; round++) {
        const rows = Array.from({ length: 2 + Math.floor(next() * 60) }, (_, index) =>
          row(index, {
            size: 1 + Math.floor(next() * 200_000),
            score: next() - 0.1,
            standardError: next() * 0.2,
            relative: next() * 3,
          }),
        )
        const total = sum(rows.map(({ size }) => size))
        const density = 0.02 + 0.9 * next()
        const options = { density, dropFraction: next() * 0.2, gamma: next() * 2, rhoMin: next() * 0.02 }
        const result = yield* Effect.result(Density.allocate(rows, options))
        if (result._tag === "Failure") {
          assert.match(result.failure.message, /^prune: density: .* cannot be reached/)
          continue
        }
        reached += 1
        assert.strictEqual(sum(result.success.map(({ kept }) => kept)), Math.floor(density * total))
        for (const { kept, size } of result.success) {
          assert.isTrue(Number.isInteger(kept) && kept >= 0 && kept <= size)
        }
      }
      assert.isAbove(reached, 200)
    }),
  )

  it.effect("agrees with the density found by solving for c between its break points", () =>
    Effect.gen(function* () {
      const next = random(4)
      for (let round = 0; round < 50; round++) {
        const rows = Array.from({ length: 20 }, (_, index) =>
          row(index, { size: 500 + Math.floor(next() * 5000), relative: 0.01 + next() * 3 }),
        )
        const density = 0.1 + 0.8 * next()
        const total = sum(rows.map(({ size }) => size))
        // Solved the slow way: between two neighbouring break points the sum is a straight line in c.
        const at = (c: number) =>
          rows.map(({ relative, size }) => Math.min(Math.max(c * density * relative, 0.05), 1) * size)
        const points = rows
          .flatMap(({ relative }) => [0.05 / (density * relative), 1 / (density * relative)])
          .toSorted((a, b) => a - b)
        const upper = points.findIndex((c) => sum(at(c)) >= density * total)
        const [c0, c1] = [points[upper - 1] ?? 0, points[upper]!]
        const [s0, s1] = [sum(at(c0)), sum(at(c1))]
        const exact = at(c0 + ((density * total - s0) / (s1 - s0)) * (c1 - c0))
        const result = yield* Density.allocate(rows, { ...params, density })
        for (const [index, { kept }] of result.entries()) {
          assert.isTrue(Math.abs(kept - exact[index]!) <= 1 + 1e-6, `${kept} against ${exact[index]}`)
        }
      }
    }),
  )

  it.effect("drops harmful units and the lowest fraction, and leaves insignificant ones the minimum", () =>
    Effect.gen(function* () {
      const rows = [
        row(0, { score: 5, relative: 2 }),
        row(1, { score: -1, standardError: 0.1, relative: 0 }),
        row(2, { score: 0.2, standardError: 0.5, relative: 0.1 }),
        row(3, { score: 4, relative: 1 }),
        row(4, { score: 3, relative: 1 }),
      ]
      const kept = yield* Density.allocate(rows, { ...params, density: 0.3 })
      assert.deepStrictEqual(
        kept.map((unit) => unit.kept),
        [725, 0, 50, 363, 362],
      )
      const lowest = yield* Density.allocate(rows, { ...params, density: 0.3, dropFraction: 0.4 })
      assert.deepStrictEqual(
        lowest.map((unit) => unit.kept),
        [750, 0, 0, 375, 375],
      )
    }),
  )

  it.effect("keeps everything at density 1", () =>
    Effect.gen(function* () {
      const rows = [row(0, { relative: 1e-9 }), row(1, { relative: 3 }), row(2, { size: 7, relative: 1 })]
      const kept = yield* Density.allocate(rows, { ...params, density: 1 })
      assert.deepStrictEqual(
        kept.map((unit) => unit.kept),
        [1000, 1000, 7],
      )
    }),
  )

  it.effect("reads a product that floating point leaves just below an integer as that integer", () =>
    Effect.sync(() => {
      assert.strictEqual(Density.budgetOf(0.57, 100), 57)
      assert.strictEqual(Density.budgetOf(0.3, 786_432), 235_929)
    }),
  )

  it.effect("refuses a budget above or below what the units can hold, and parameters out of range", () =>
    Effect.gen(function* () {
      const rows = [row(0, {}), row(1, { score: 0.1, standardError: 1 }), row(2, { score: -3 })]
      const message = (options: Partial<Density.DensityParams>) =>
        Effect.map(Effect.flip(Density.allocate(rows, { ...params, ...options })), (error) => error.message)
      assert.strictEqual(
        yield* message({ density: 0.5 }),
        "prune: density: 0.5 cannot be reached: the 2 units that stay (1 of 3 dropped) hold at most 0.3500 at the given rhoMin; lower density or dropFraction, or raise rhoMin",
      )
      assert.strictEqual(
        yield* message({ density: 0.1, rhoMin: 0.4 }),
        "prune: density: 0.1 cannot be reached: the 2 units that stay (1 of 3 dropped) hold at least 0.2667 at the given rhoMin; raise density or lower rhoMin",
      )
      assert.strictEqual(
        yield* message({ density: 0 }),
        "prune: density: expected a number above 0 and at most 1, got 0",
      )
      assert.strictEqual(
        yield* message({ dropFraction: 1 }),
        "prune: dropFraction: expected a number from 0 to below 1, got 1",
      )
    }),
  )
})
