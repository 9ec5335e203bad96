import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Checkpoint, Gates, LanguageModel, Unit } from "../src/index.ts"
import { distance, example, fixture, openModel, sums } from "./support/models.ts"
import { firstLayer } from "./support/plainLlama.ts"

layer(LanguageModel.layerWith({ workers: 1, threads: 1 }))("MeanAblation", (it) => {
  const open = Effect.gen(function* () {
    const checkpoint = yield* Checkpoint.open(fixture("math"))
    const model = yield* Effect.flatMap(LanguageModel, (service) => service.openMeanAblation(checkpoint))
    const { units } = yield* Unit.partition(checkpoint, "kvGroup")
    return { checkpoint, model, units }
  })

  it.effect("takes the means over all tokens that are read, of examples of any length", () =>
    Effect.gen(function* () {
      const { checkpoint, model } = yield* open
      const examples = [
        [1, 51, 28, 223, 20],
        [1, 51, 28, 30],
        [1, 7, 9, 40, 3],
      ].map((t) => example(t, 1))
      const { heads, mlp } = yield* model.means(examples)
      const plain = yield* Effect.forEach(examples, ({ tokens }) =>
        firstLayer(checkpoint, model.shape, tokens.slice(0, -1)),
      )
      const rows = plain.flat()
      for (const [own, of] of [
        [heads, "output"],
        [mlp, "down"],
      ] as const) {
        const size = own.length / model.shape.layers
        const expected = Array.from({ length: size }, (_, i) =>
          rows.reduce((sum, row) => sum + row[of][i]! / rows.length, 0),
        )
        assert.isAtMost(distance(own.subarray(0, size), expected), 1e-5, of)
      }
    }).pipe(Effect.scoped),
  )

  it.effect("with zeros for means is the model without the unit, with no unit off the model itself", () =>
    Effect.gen(function* () {
      const { model, units } = yield* open
      const { shape } = model
      const plain = yield* openModel(fixture("math"))
      const { encode } = yield* plain.tokenizer
      const golden = sums(4).map((text) => example(encode(`${text} 12\n`), encode(text).length))
      const none = {
        heads: new Float32Array(shape.layers * shape.heads * shape.headDim),
        mlp: new Float32Array(shape.layers * shape.intermediateSize),
      }
      const all = Gates.filled(shape, 1)
      const means = yield* model.means(golden)
      assert.isAtMost(distance(yield* model.losses(golden, all, means), yield* plain.losses(golden)), 1e-5)
      for (const unit of [units[1]!, units[4]!, units[12]!]) {
        const gates = Gates.with(all, shape, unit, 0)
        const expected = yield* plain.losses(golden, { gates })
        assert.isAtMost(distance(yield* model.losses(golden, gates, none), expected), 1e-5, unit.id)
        assert.isAbove(distance(yield* model.losses(golden, gates, means), expected), 1e-4, unit.id)
      }
      const wrong = { ...all, mlp: new Float32Array(3) }
      assert.match((yield* Effect.flip(model.losses(golden, wrong, means))).message, /expected 4 × 8 heads/)
    }).pipe(Effect.scoped),
  )

  it.effect("changes nothing where the outputs are their mean: one token that is always the same", () =>
    Effect.gen(function* () {
      const { model, units } = yield* open
      const golden = [example([51, 20], 1), example([51, 35], 1)]
      const means = yield* model.means(golden)
      const all = Gates.filled(model.shape, 1)
      const whole = yield* model.losses(golden, all, means)
      const off = units.reduce((gates, unit) => Gates.with(gates, model.shape, unit, 0), all)
      assert.isAtMost(distance(yield* model.losses(golden, off, means), whole), 1e-5)
    }).pipe(Effect.scoped),
  )
})
