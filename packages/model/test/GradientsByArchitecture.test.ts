import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Checkpoint, DeltaGates, Dtype, LanguageModel } from "../src/index.ts"
import { architectures, encoders, hasShared, temporary } from "./support/fixtures.ts"
import { distance, example, openDelta, openModel } from "./support/models.ts"

/** What differs from another model only in positions or sizes, where no operator is another one. */
const variants = [
  "llama-headdim",
  "llama-rope-linear",
  "llama-tied",
  "llama3-rope",
  "mistral-window",
  "qwen2-rope-yarn",
]

/** The same model with every weight moved a little, each by another part of itself. */
const moved = Effect.fnUntraced(function* (directory: string) {
  const base = yield* Checkpoint.open(directory)
  const target = `${yield* temporary}/expert`
  yield* Checkpoint.write(target, {
    like: base,
    tensors: [...base.tensors.values()].map(({ name, shape }) => ({ name, shape, dtype: "F32" as const })),
    data: Effect.fnUntraced(function* ({ name }, put) {
      const weights = yield* Checkpoint.readFloat32(base, name)
      const other = weights.map((w, i) => w * (1 + 0.2 * Math.sin(12.9898 * (i + name.length))))
      yield* put(Dtype.fromFloat32(other, "F32"))
    }),
  })
  return target
})

const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0)

layer(LanguageModel.layerWith({ workers: 1, threads: 1 }))("Gradients by architecture", (it) => {
  describe.skipIf(!hasShared)("agree with differences of the losses (needs ../shared)", () => {
    for (const [name, directory] of architectures.filter(
      ([key]) => !encoders.has(key) && !variants.includes(key),
    )) {
      it.effect(name, () =>
        Effect.gen(function* () {
          const delta = yield* openDelta(directory, yield* moved(directory))
          const { shape } = delta
          const tokens = Array.from({ length: 20 }, (_, i) => (37 * i + 11) % Math.min(shape.vocabSize, 250))
          const examples = [example(tokens, 4), example(tokens.slice(5, 15), 2)]
          const middle = DeltaGates.filled(shape, 0.5)
          const gradients = yield* delta.gradients(examples, middle)
          const units = [
            { kind: "queryHead", layer: shape.layers - 1, index: shape.heads - 1 },
            { kind: "kvHead", layer: 0, index: shape.kvHeads - 1 },
            { kind: "mlp", layer: 1, index: 0 },
          ] as const
          const moves: ReadonlyArray<
            readonly [
              move: (value: number) => DeltaGates.DeltaGates,
              derivative: (gates: DeltaGates.DeltaGates) => number,
            ]
          > = [
            [
              (value) => DeltaGates.filled(shape, value),
              ({ kvHeads, mlp, queryHeads, residual }) =>
                sum(queryHeads) + sum(kvHeads) + sum(mlp) + residual,
            ],
            [(residual) => ({ ...middle, residual }), ({ residual }) => residual],
            ...units.map(
              (unit) =>
                [
                  (value: number) => DeltaGates.with(middle, shape, unit, value),
                  (gates: DeltaGates.DeltaGates) => DeltaGates.along(gates, shape, unit),
                ] as const,
            ),
          ]
          const step = 0.015
          const differences = yield* Effect.forEach(moves, ([move]) =>
            Effect.gen(function* () {
              const after = yield* delta.losses(examples, move(0.5 + step))
              const before = yield* delta.losses(examples, move(0.5 - step))
              return after.map((loss, i) => (loss - before[i]!) / (2 * step))
            }),
          )
          const scale = Math.max(...differences.flatMap((row) => Array.from(row, Math.abs)))
          moves.forEach(([, derivative], m) => {
            const ours = gradients.map(({ gates }) => derivative(gates))
            assert.isAtMost(distance(ours, differences[m]!), 3e-3 * scale + 1e-4, `move ${m}`)
          })

          const { values } = yield* (yield* openModel(directory)).sensitivity(examples.slice(1))
          assert.isTrue(values[0]!.every((value) => value > 0 && Number.isFinite(value)))
        }),
      )
    }
  })
})
