/**
 * Loss-aware regression fusion in its forms on a family, against task arithmetic with one and with two λ: inputs alone
 * (ridge RegMean), both factors, by heads, with the embedding. All on answers drawn from the specialists, all tuned with
 * the same budget.
 */
import { Pipeline } from "@hila/core"
import { Runtime } from "@hila/model"
import * as Schema from "effect/Schema"
import { taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { regression } from "./stages/Regression.ts"
import { arithmeticWithRest } from "./stages/Statistical.ts"

const settings = { rhos: [1, 10, 100], lambdas: [0.4] }

export default Pipeline.make({
  name: "regression",
  options: {
    ...Family.options,
    rows: Pipeline.option(Schema.Array(Schema.String), [], "rows by name; all unless given"),
  },
  build: (options) => {
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const drawn = family.golden("score", true)
    const full = { kind: "kronecker" } as const
    const entries = [
      taskArithmetic(bench),
      arithmeticWithRest(bench),
      regression(bench, "hila-regression, inputs", drawn, { kind: "gram" }, settings),
      regression(bench, "hila-regression", drawn, full, settings),
      regression(bench, "hila-regression, by heads", drawn, { ...full, blocked: true }, settings),
      // Row by row of the vocabulary, and so by far the slowest to solve.
      regression(bench, "hila-regression, embedding", drawn, full, {
        rhos: [3],
        lambdas: [0.4],
        embedding: true,
      }),
    ]
    const { rows } = options
    return compared(
      family,
      entries.filter(({ row }) => rows.length === 0 || rows.includes(row)),
    )
  },
  layer: Runtime.layer,
})
