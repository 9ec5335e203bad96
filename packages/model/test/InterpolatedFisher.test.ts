import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Checkpoint, InterpolatedFisher, InterpolatedGates, Runtime, Unit } from "../src/index.ts"
import { example, fixture } from "./support/models.ts"
import * as Statistics from "./support/statistics.ts"

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("InterpolatedFisher", (it) => {
  it.effect("adds up the Fisher diagonal times the squared change, parameter by parameter", () =>
    Effect.gen(function* () {
      const [base, expert] = [
        yield* Checkpoint.open(fixture("base")),
        yield* Checkpoint.open(fixture("math")),
      ]
      const golden = [
        example([1, 51, 28, 223, 20, 35, 28, 223, 20, 201], 7),
        example([1, 51, 28, 223, 24, 35, 28], 4),
      ]
      const model = yield* InterpolatedFisher.open(base, expert)
      const squares = yield* model.squares(golden)
      assert.strictEqual(squares.length, 2)
      const fisher = yield* Statistics.means(yield* Statistics.openStatistics(fixture("math")), golden, {
        kind: "fisher",
      })
      for (const scheme of ["kvGroup", "queryHead", "layer"] as const) {
        const { units } = yield* Unit.partition(expert, scheme)
        for (const unit of units.filter(({ index, layer: l }) => l !== 1 && index % 3 === 0)) {
          let sum = 0
          for (const { axis, end, start, tensor } of unit.slices) {
            const { data } = Statistics.of(fisher, tensor)
            const [before, after] = [
              yield* Checkpoint.readFloat32(base, tensor),
              yield* Checkpoint.readFloat32(expert, tensor),
            ]
            const columns = base.tensors.get(tensor)!.shape[1] ?? 1
            before.forEach((value, at) => {
              const place = axis === 0 ? Math.floor(at / columns) : at % columns
              if (place >= start && place < end) sum += data[at]! * (after[at]! - value) ** 2
            })
          }
          const [first, second] = squares.map((of) => InterpolatedGates.along(of, model.shape, unit))
          assert.closeTo((first! + second!) / 2 / sum, 1, 1e-4, unit.id)
        }
      }
    }).pipe(Effect.scoped),
  )
})
