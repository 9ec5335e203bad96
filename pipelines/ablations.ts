/**
 * What HILA's parts do: where importance comes from, how fine the units are, pruning and weighting alone and together,
 * whose golden data, and how much of it. Every row is tuned with the same number of trials.
 */
import { Pipeline } from "@hila/core"
import { LanguageModel } from "@hila/model"
import { lines, taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { hila, importanceOf, type Settings } from "./stages/Hila.ts"
import { otherDomains, permuted, randomTokens } from "./stages/Nulls.ts"

const densities = [0.3, 0.5, 0.7]
const temperatures = [0.5, 1, 2, 4, 8]
const weighting: Settings = { densities: [1], temperatures }

export default Pipeline.make({
  name: "ablations",
  options: Family.options,
  build: (options) => {
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const golden = family.golden("score")
    const revert = importanceOf(bench, golden, "revert")
    const sources = ["pathIntegrated", "fisher", "magnitude", "random"] as const
    const schemes = ["queryHead", "layer"] as const
    const fewer = [16, 32].filter((count) => count < options.golden)
    return compared(family, [
      taskArithmetic(bench),
      lines(bench),
      hila(bench, "both", revert, { densities, temperatures: [1, 4] }),
      hila(bench, "pruning only", revert, { densities: [0.2, ...densities], temperatures: [Infinity] }),
      hila(bench, "weighting only", revert, weighting),
      hila(bench, "weighting, signs elected", revert, { ...weighting, elect: true }),
      hila(bench, "weighting, rest at the base", revert, { ...weighting, residual: "base" }),
      ...sources.map((source) =>
        hila(bench, `weighting by ${source}`, importanceOf(bench, golden, source), weighting),
      ),
      ...schemes.map((scheme) =>
        hila(bench, `weighting by ${scheme}`, importanceOf(bench, golden, "revert", scheme), weighting),
      ),
      ...fewer.map((count) => {
        const few = Family.of({ ...options, golden: count }).golden("score")
        return hila(
          bench,
          `weighting, ${count} golden examples`,
          importanceOf(bench, few, "revert"),
          weighting,
        )
      }),
      hila(bench, "weighting, answers permuted", importanceOf(bench, permuted(golden), "revert"), weighting),
      hila(bench, "weighting, random tokens", importanceOf(bench, randomTokens(golden), "revert"), weighting),
      hila(
        bench,
        "weighting, another domain",
        importanceOf(bench, otherDomains(golden), "revert"),
        weighting,
      ),
    ])
  },
  layer: LanguageModel.layer,
})
