import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { AblationGates, BlockModel, CausalModel, Checkpoint, Runtime } from "../src/index.ts"
import { architectures } from "./support/fixtures.ts"
import { distance, example } from "./support/models.ts"

const tokens = [3, 14, 15, 9, 26, 35, 8, 37, 32, 38, 4, 6]

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Architectures by blocks", (it) => {
  describe("decoders", () => {
    // Those that differ in operators, not only in numbers.
    const wanted = [
      "gemma2",
      "gemma3",
      "phi3",
      "olmo2",
      "granite",
      "cohere",
      "gpt2",
      "gpt-neox",
      "starcoder2",
    ]
    const chosen = architectures.filter(([key]) => wanted.includes(key))
    for (const [name, directory] of chosen) {
      it.effect(`${name}: piece by piece as in one graph, and its gates' gradients are differences`, () =>
        Effect.gen(function* () {
          const checkpoint = yield* Checkpoint.open(directory)
          const whole = yield* CausalModel.open(checkpoint)
          const blocks = yield* BlockModel.open(checkpoint, { memory: 2 ** 31 })
          const examples = [example(tokens, 3), example(tokens.slice(4), 1)]
          const losses = yield* whole.losses(examples)
          assert.isAtMost(distance(yield* blocks.losses(examples), losses), 1e-5)
          const gradients = yield* blocks.gradients(examples)
          const on = AblationGates.filled(whole.shape, 1)
          const step = 1 / 64
          for (const unit of [
            { kind: "queryHead", layer: 1, index: 3 },
            { kind: "mlp", layer: 0, index: 0 },
          ] as const) {
            const at = (value: number) =>
              whole.losses(examples, { gates: AblationGates.with(on, whole.shape, unit, value) })
            const [up, down] = [yield* at(1 + step), yield* at(1 - step)]
            examples.forEach((_, i) => {
              const difference = ((up[i] ?? NaN) - (down[i] ?? NaN)) / (2 * step)
              const { heads, mlp } = gradients[i]!.gates
              const derivative = unit.kind === "mlp" ? mlp[0] : heads[whole.shape.heads + unit.index]
              const size = Math.max(Math.abs(difference), 0.05)
              assert.isAtMost(Math.abs((derivative ?? NaN) - difference) / size, 0.01, `${unit.kind} ${i}`)
            })
          }
        }),
      )
    }
  })
})
