/**
 * Sens-Merging on task arithmetic, TIES and DARE, with what is open in its description as options, and the ablation:
 * α alone, τ alone, both. `sigma` shows the coefficients K σ at each temperature: how far from uniform they are.
 */
import { Pipeline } from "@hila/core"
import { Runtime } from "@hila/model"
import * as Schema from "effect/Schema"
import { taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { type Below, measured, sens } from "./stages/Sens.ts"
import { sigmaRanges } from "./stages/SigmaRanges.ts"
import { sensCoefficients } from "./stages/SensWeights.ts"

const Positive = Schema.Finite.check(Schema.isGreaterThan(0))

export default Pipeline.make({
  name: "sens-merging",
  options: {
    ...Family.options,
    tau: Pipeline.option(
      Schema.Literals(["distance", "inverseDistance"]),
      "distance",
      "whether an expert far from the others gets more weight, or less",
    ),
    temperatures: Pipeline.option(
      Schema.Array(Positive),
      [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2],
      "temperatures to try",
    ),
    temperatureMode: Pipeline.option(
      Schema.Literals(["divide", "multiply"]),
      "divide",
      "whether T divides or multiplies",
    ),
  },
  build: (options) => {
    const { tau, temperatureMode, temperatures } = options
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const tables = measured(bench, family.golden("score"))
    const uses = ["both", "alpha", "tau"] as const
    const below: ReadonlyArray<Below> = ["task arithmetic", "TIES", "DARE"]
    const entries = below.flatMap((method) =>
      uses.map((use) =>
        sens(bench, `Sens (${use}) on ${method}`, method, tables, {
          use,
          tau,
          temperatureMode,
          temperatures,
        }),
      ),
    )
    const swept = uses.flatMap((use) => temperatures.map((temperature) => ({ use, temperature })))
    const sigma = sigmaRanges(
      {
        tables: swept.map(({ temperature, use }) =>
          sensCoefficients(tables, { use, tau, temperatureMode, temperature }, `${use} T ${temperature}`),
        ),
      },
      { names: swept.map(({ temperature, use }) => `${use}, T ${temperature}`) },
    )
    return { sigma, ...compared(family, [taskArithmetic(bench), ...entries]) }
  },
  layer: Runtime.layer,
})
