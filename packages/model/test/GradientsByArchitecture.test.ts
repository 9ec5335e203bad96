import { assert, describe, layer } from "@effect/vitest"
import { Effect, Result } from "effect"
import { writeFile } from "node:fs/promises"
import { deltaFisher } from "../src/graphs/InterpolatedFisherGraph.ts"
import { unitMeans } from "../src/graphs/UnitOutputMeansGraph.ts"
import { sensitivity } from "../src/graphs/SensitivityGraph.ts"
import {
  AblationGates,
  CausalModel,
  Checkpoint,
  Dtype,
  InterpolatedGates,
  InterpolatedModel,
  Runtime,
  type Safetensors,
  UnitInterventions,
} from "../src/index.ts"
import { architectures, encoders, temporary } from "./support/fixtures.ts"
import { distance, example } from "./support/models.ts"

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
const moved = Effect.fnUntraced(function* (base: Checkpoint.Checkpoint) {
  const file = `${yield* temporary}/weights`
  const tensors = new Map<string, Safetensors.TensorInfo>()
  const parts: Array<Uint8Array> = []
  let offset = 0
  for (const info of base.tensors.values()) {
    const weights = yield* Checkpoint.readFloat32(base, info.name)
    const other = weights.map((w, i) => w * (1 + 0.2 * Math.sin(12.9898 * (i + info.name.length))))
    const bytes = Dtype.fromFloat32(other, "F32")
    tensors.set(info.name, { ...info, dtype: "F32", file, offset, byteLength: bytes.length })
    parts.push(bytes)
    offset += bytes.length
  }
  yield* Effect.promise(() => writeFile(file, parts))
  return { ...base, tensors }
})

const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0)

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Gradients by architecture", (it) => {
  describe("agree with differences of the losses", () => {
    for (const [name, directory] of architectures.filter(
      ([key]) => !encoders.has(key) && !variants.includes(key),
    )) {
      it.effect(name, () =>
        Effect.gen(function* () {
          const base = yield* Checkpoint.open(directory)
          const expert = yield* moved(base)
          const delta = yield* InterpolatedModel.open(base, expert)
          const { shape } = delta
          const tokens = Array.from({ length: 20 }, (_, i) => (37 * i + 11) % Math.min(shape.vocabSize, 250))
          const examples = [example(tokens, 4), example(tokens.slice(5, 15), 2)]
          const middle = InterpolatedGates.filled(shape, 0.5)
          const gradients = yield* delta.gradients(examples, middle)
          const units = [
            { kind: "queryHead", layer: shape.layers.length - 1, index: shape.heads - 1 },
            { kind: "kvHead", layer: 0, index: shape.kvHeads - 1 },
            { kind: "mlp", layer: 1, index: 0 },
          ] as const
          const moves: ReadonlyArray<
            readonly [
              move: (value: number) => InterpolatedGates.InterpolatedGates,
              derivative: (gates: InterpolatedGates.InterpolatedGates) => number,
            ]
          > = [
            [
              (value) => InterpolatedGates.filled(shape, value),
              ({ kvHeads, mlp, queryHeads, residual }) =>
                sum(queryHeads) + sum(kvHeads) + sum(mlp) + residual,
            ],
            [(residual) => ({ ...middle, residual }), ({ residual }) => residual],
            ...units.map(
              (unit) =>
                [
                  (value: number) => InterpolatedGates.with(middle, shape, unit, value),
                  (gates: InterpolatedGates.InterpolatedGates) => InterpolatedGates.along(gates, shape, unit),
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

          // From a kept stream, with the change beside the weights: the same losses.
          const kept = yield* UnitInterventions.openMoves({ from: base, base, expert }, examples)
          const found = yield* kept.losses(units.map((unit) => ({ unit, step: 1 })))
          for (const [i, unit] of units.entries()) {
            const gates = InterpolatedGates.with(InterpolatedGates.filled(shape, 0), shape, unit, 1)
            assert.isAtMost(distance(found[i]!, yield* delta.losses(examples, gates)), 1e-5, unit.kind)
          }

          // The same stream without the outputs of units, biases and norms behind them as the architecture has them.
          const gone = yield* UnitInterventions.openAblations(expert, examples, "zero")
          const without = yield* gone.losses(units.map((unit) => ({ unit, step: -1 })))
          const alone = yield* CausalModel.open(expert)
          for (const [i, unit] of units.entries()) {
            const gates = AblationGates.with(AblationGates.filled(shape, 1), shape, unit, 0)
            assert.isAtMost(distance(without[i]!, yield* alone.losses(examples, { gates })), 1e-5, unit.kind)
          }

          // Every tensor of the model has a derivative: the graphs that take them all can be written.
          assert.isTrue(Result.isSuccess(sensitivity(shape, base.tensors)))
          assert.isTrue(Result.isSuccess(deltaFisher(shape, base.tensors, expert.tensors)))
          assert.isTrue(Result.isSuccess(unitMeans(shape, base.tensors)))
        }),
      )
    }
  })
})
