import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Runtime } from "../src/index.ts"
import { architectures } from "./support/fixtures.ts"
import { example } from "./support/models.ts"
import { means, of, openStatistics, relative } from "./support/statistics.ts"

/** Models whose layers lie or compute unlike the others': fused, transposed, parallel tensors; norms of heads. */
const kinds = ["cohere", "gemma3", "gpt-neox", "gpt2", "olmo2", "phi3"]

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Statistics by architecture", (it) => {
  describe("agree among each other on one token", () => {
    for (const [name, directory] of architectures.filter(([key]) => kinds.includes(key))) {
      it.effect(name, () =>
        Effect.gen(function* () {
          const model = yield* openStatistics(directory)
          const { shape } = model
          // A token, and one that it predicts: gradients are outer products, ∂L/∂W = g·xᵀ.
          const examples = [example([11, 38], 1)]
          const kronecker = yield* means(model, examples, { kind: "kronecker" })
          const fisher = yield* means(model, examples, { kind: "fisher" })
          const activation = yield* means(model, examples, { kind: "activation" })
          assert.deepStrictEqual([...fisher.keys()], [...shape.expected.keys()])
          for (const { norms, ...projections } of shape.layers) {
            for (const { transposed, weight } of Object.values(projections)) {
              const { data, shape: stored } = of(fisher, weight)
              const [input, output] = [
                of(kronecker, `${weight}.input`),
                of(kronecker, `${weight}.outputGradient`),
              ]
              const [inputs, outputs] = [input.shape[0]!, output.shape[0]!]
              assert.deepStrictEqual(stored, transposed === true ? [inputs, outputs] : [outputs, inputs])
              const products = data.map((_, at) => {
                const [row, column] = [Math.floor(at / stored[1]!), at % stored[1]!]
                const [i, j] = transposed === true ? [column, row] : [row, column]
                return output.data[i * (outputs + 1)]! * input.data[j * (inputs + 1)]!
              })
              // Two ways of summing in float32, squared.
              assert.isAtMost(relative(products, data), 1e-4, weight)
              // One token: |x| is the root of x².
              const magnitudes = of(activation, `${weight}.magnitude`).data
              const squares = magnitudes.map((_, j) => input.data[j * (inputs + 1)]!)
              assert.isAtMost(
                relative(
                  magnitudes.map((x) => x * x),
                  squares,
                ),
                1e-5,
                weight,
              )
            }
            for (const { weight } of Object.values(norms)) {
              assert.deepStrictEqual(of(activation, `${weight}.magnitude`).shape, shape.expected.get(weight))
            }
          }
        }),
      )
    }
  })
})
