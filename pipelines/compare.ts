/**
 * Everything on a family in one table: HILA and its nulls, its rivals, and what needs no data, each with the same number
 * of trials on the same tune split.
 *
 * `hila run pipelines/compare.ts tuned` knows scores and tune split only; `results` opens the held-out side.
 */
import { Pipeline } from "@hila/core"
import { Runtime } from "@hila/model"
import type { Importance } from "@hila/scoring"
import * as Schema from "effect/Schema"
import { baselines } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { hila, importanceOf } from "./stages/Hila.ts"
import { hiMerging } from "./stages/HiMerging.ts"
import { learned } from "./stages/Learning.ts"
import { permuted } from "./stages/Nulls.ts"
import { regression } from "./stages/Regression.ts"
import { measured, sens } from "./stages/Sens.ts"
import { shrunkOf } from "./stages/Shrunk.ts"
import { arithmeticWithRest, statistical } from "./stages/Statistical.ts"

const temperatures = [0.5, 1, 2, 4, 8]
/** Densities that follow importance half as much, no unit dropped: what helps most on tune splits (docs/results.md). */
const follow = { gamma: 0.5, dropFraction: 0, floor: 0.5 }
const both = { densities: [0.4], follow, temperatures: [1, 4, 16] }
const weighting = { densities: [1], temperatures }
const open = {
  use: "both",
  tau: "distance",
  temperatureMode: "divide",
  temperatures: [0.05, 0.1, 0.5, 2],
} as const

export default Pipeline.make({
  name: "compare",
  options: {
    ...Family.options,
    seeds: Pipeline.option(Schema.Int.check(Schema.isGreaterThan(0)), 3, "seeds of what is drawn at random"),
    rhos: Pipeline.option(
      Schema.NonEmptyArray(Schema.Finite),
      [0.1, 0.3, 1, 10, 100],
      "strengths of the ridge that regression tries",
    ),
    rows: Pipeline.option(Schema.Array(Schema.String), [], "only rows whose names begin so; all by default"),
  },
  build: (options) => {
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const golden = family.golden("score")
    const drawn = family.golden("score", true)
    // Shrunk by its error: any density can be reached, however few units are significant.
    const importance = (method: Importance.Method, answers = golden, seed = 0) =>
      shrunkOf(importanceOf(bench, answers, method, "kvGroup", seed))
    const revert = importance("revert")
    const tables = measured(bench, golden)
    const ridges = { rhos: options.rhos, lambdas: [0.4, 0.5] }
    const seeds = Array.from({ length: options.seeds }, (_, seed) => seed)
    const entries = [
      ...baselines(bench, options.seeds),
      arithmeticWithRest(bench),
      ...statistical(bench, golden),
      hila(bench, "HILA", revert, both),
      hila(bench, "HILA, pruning only", revert, {
        densities: [0.2, 0.3, 0.4],
        follow,
        temperatures: [Infinity],
      }),
      hila(bench, "HILA, weighting only", revert, weighting),
      hila(bench, "HILA by path integral", importance("pathIntegrated"), both, "8 passes forward and back"),
      hila(bench, "null: magnitude importance", importance("magnitude"), both, ""),
      ...seeds.map((seed) =>
        hila(bench, "null: random importance", importance("random", golden, seed), both, ""),
      ),
      hila(bench, "null: permuted answers", importance("revert", permuted(golden)), both),
      sens(bench, "Sens-Merging", "task arithmetic", tables, open),
      sens(bench, "Sens-Merging on TIES", "TIES", tables, open),
      sens(bench, "Sens-Merging on DARE", "DARE", tables, open),
      ...hiMerging(bench, golden),
      learned(bench, "AdaMerging (test-time), task-wise", golden, { by: "task", objective: "entropy" }),
      learned(bench, "AdaMerging (test-time), layer-wise", golden, { by: "layer", objective: "entropy" }),
      regression(bench, "HILA regression", drawn, { kind: "kronecker" }, ridges),
      regression(bench, "HILA regression, inputs only", drawn, { kind: "gram" }, ridges),
    ]
    const wanted = options.rows.length === 0 ? [""] : ["task arithmetic", ...options.rows]
    return compared(
      family,
      entries.filter(({ row }) => wanted.some((start) => row.startsWith(start))),
    )
  },
  layer: Runtime.layer,
})
