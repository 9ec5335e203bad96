import { assert, layer } from "@effect/vitest"
import { Effect, Result } from "effect"
import { AblationGates, Checkpoint, Runtime, Unit, UnitInterventions } from "../src/index.ts"
import { unitMeans } from "../src/graphs/UnitOutputMeansGraph.ts"
import { encode } from "../src/onnx/Encode.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import * as UnitOutputMeans from "../src/attribution/UnitOutputMeans.ts"
import { distance, example, fixture, openModel, sums } from "./support/models.ts"
import { firstLayer } from "./support/plainLlama.ts"

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Ablations", (it) => {
  const away = (units: ReadonlyArray<Unit.Unit>) => units.map((unit) => ({ unit, step: -1 }))

  it.effect("takes means over all tokens that are read, of examples of any length", () =>
    Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(fixture("math"))
      const examples = [
        [1, 51, 28, 223, 20],
        [1, 51, 28, 30],
        [1, 7, 9, 40, 3],
      ].map((t) => example(t, 1))
      const { shape } = yield* openModel(fixture("math"))
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const graph = encode(Result.getOrThrow(unitMeans(shape, checkpoint.tensors)))
      const program = yield* pool.open("math", graph, 0)
      const { heads, mlp } = yield* UnitOutputMeans.measure(shape, program, examples)
      const plain = yield* Effect.forEach(examples, ({ tokens }) =>
        firstLayer(checkpoint, shape, tokens.slice(0, -1)),
      )
      const rows = plain.flat()
      for (const [own, of] of [
        [heads, "output"],
        [mlp, "down"],
      ] as const) {
        const size = own.length / shape.layers.length
        const expected = Array.from({ length: size }, (_, i) =>
          rows.reduce((sum, row) => sum + row[of][i]! / rows.length, 0),
        )
        assert.isAtMost(distance(own.subarray(0, size), expected), 1e-5, of)
      }
    }).pipe(Effect.scoped),
  )

  it.effect(
    "with zero are the model with the unit's gate shut, unit by unit; with the mean they are not",
    () =>
      Effect.gen(function* () {
        const plain = yield* openModel(fixture("math"))
        const { checkpoint, shape } = plain
        const { units } = yield* Unit.partition(checkpoint, "kvGroup")
        const { encodeAll } = yield* plain.tokenizer
        const prompts = yield* encodeAll(sums(4))
        const rows = yield* encodeAll(sums(4).map((text) => `${text} 12\n`))
        const golden = rows.map((row, i) => example(row, prompts[i]?.length ?? NaN))
        const zero = yield* UnitInterventions.openAblations(checkpoint, golden, "zero")
        const mean = yield* UnitInterventions.openAblations(checkpoint, golden, "mean")
        const whole = yield* plain.losses(golden)
        assert.isAtMost(distance(yield* zero.unmoved, whole), 1e-5)
        assert.deepStrictEqual(yield* mean.unmoved, yield* zero.unmoved)
        const few = [units[1]!, units[4]!, units[12]!]
        const [off, averaged] = [yield* zero.losses(away(few)), yield* mean.losses(away(few))]
        for (const [i, unit] of few.entries()) {
          const gates = AblationGates.with(AblationGates.filled(shape, 1), shape, unit, 0)
          const expected = yield* plain.losses(golden, { gates })
          assert.isAtMost(distance(off[i]!, expected), 1e-5, unit.id)
          assert.isAbove(distance(averaged[i]!, expected), 1e-4, unit.id)
        }
      }).pipe(Effect.scoped),
  )

  it.effect("change nothing where the outputs are their mean: one token that is always the same", () =>
    Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(fixture("math"))
      const { units } = yield* Unit.partition(checkpoint, "kvGroup")
      const golden = [example([51, 20], 1), example([51, 35], 1)]
      const ablations = yield* UnitInterventions.openAblations(checkpoint, golden, "mean")
      const whole = yield* ablations.unmoved
      for (const losses of yield* ablations.losses(away(units))) {
        assert.isAtMost(distance(losses, whole), 1e-5)
      }
    }).pipe(Effect.scoped),
  )
})
