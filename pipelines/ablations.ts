/**
 * What HILA's parts do: where importance comes from, how fine the units are, pruning and weighting alone and together,
 * conflicts settled unit by unit, whose golden data, and how much of it. Every row is tuned with the same number of trials.
 */
import { Pipeline } from "@hila/core"
import { Runtime, type UnitTable } from "@hila/model"
import type { Importance } from "@hila/scoring"
import { lines, taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import { settled } from "./stages/Conflicts.ts"
import * as Family from "./stages/Family.ts"
import { type Follow, hila, importanceOf, prunedAgain, type Scored, type Settings } from "./stages/Hila.ts"
import { rightAnswers } from "./stages/Labels.ts"
import { otherDomains, permuted, randomTokens } from "./stages/Nulls.ts"
import { shrunkOf } from "./stages/Shrunk.ts"

const densities = [0.3, 0.5]
const temperatures = [0.5, 1, 2, 4, 8]
/** Densities that follow importance, no unit dropped. */
const follow: Follow = { gamma: 1, dropFraction: 0, floor: 0.1 }
const pruning = { densities, follow, temperatures: [1, 4] }
const prunings: Readonly<Record<string, Follow>> = {
  "": follow,
  ", all units alike": { ...follow, gamma: 0 },
  ", a tenth of the units dropped": { ...follow, dropFraction: 0.1 },
  ", at random inside (DARE)": { ...follow, sparsifier: "dare" },
  ", by rank inside (DELLA)": { ...follow, sparsifier: "della" },
}

export default Pipeline.make({
  name: "ablations",
  options: Family.options,
  build: (options) => {
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const golden = family.golden("score")
    // Shrunk by its error: any density can be reached, however few units are significant.
    const importance = (
      method: Importance.Method,
      answers = golden,
      scheme: UnitTable.UnitTable["scheme"] = "kvGroup",
    ) => shrunkOf(importanceOf(bench, answers, method, scheme))
    const weighting = (row: string, scored: ReadonlyArray<Scored>, settings: Partial<Settings> = {}) =>
      hila(bench, `weighting${row}`, scored, { densities: [1], temperatures, ...settings })
    const revert = importance("revert")
    const both = hila(bench, "both", revert, pruning)
    const again = prunedAgain(bench, revert, pruning)
    const sources = ["pathIntegrated", "fisher", "magnitude", "random"] as const
    const schemes = ["queryHead", "layer"] as const
    const fewer = [16, 32, 64].filter((count) => count < options.golden)
    const few = (count: number) => Family.of({ ...options, golden: count }).golden("score")
    const labelled = rightAnswers(family, options)
    return compared(family, [
      taskArithmetic(bench),
      lines(bench),
      both,
      ...(["all", "own"] as const).map((removed) => {
        const row = `both, conflicts settled (${removed === "all" ? "of units" : "of experts' parts"})`
        return settled(bench, row, both.tuned, again, golden, { every: 1, errors: 2, removed })
      }),
      ...Object.entries(prunings).map(([how, own]) => {
        const settings = { densities, follow: own, temperatures: [Infinity] }
        return hila(bench, `pruning only${how}`, revert, settings)
      }),
      // By depth all experts have equal shares, so that there is nothing to weigh.
      hila(bench, "pruning by depth alone", importance("layer"), {
        densities,
        follow,
        temperatures: [Infinity],
      }),
      weighting(" only", revert),
      weighting(", by shares", revert, { form: "share", temperatures: [1] }),
      weighting(", the winner alone", revert, { form: "winner", temperatures: [1] }),
      weighting(", signs elected", revert, { elect: true }),
      weighting(", rest at the base", revert, { residual: "base" }),
      ...sources.map((source) => weighting(` by ${source}`, importance(source))),
      ...schemes.map((scheme) => weighting(`, units ${scheme}`, importance("revert", golden, scheme))),
      ...fewer.map((count) => weighting(`, ${count} golden examples`, importance("revert", few(count)))),
      ...(labelled.length === 0 ? [] : [weighting(", right answers", importance("revert", labelled))]),
      weighting(", answers permuted", importance("revert", permuted(golden))),
      weighting(", random tokens", importance("revert", randomTokens(golden))),
      weighting(", another domain", importance("revert", otherDomains(golden))),
    ])
  },
  layer: Runtime.layer,
})
