/**
 * The thesis's comparison on models of your own: HILA, Hi-Merging, Sens-Merging, regression fusion and tuned task
 * arithmetic merge specialists of one base, and all of them answer evaluation tasks.
 *
 *     hila run pipelines/thesis.ts --set base=org/base --set 'experts={"med":"org/med","code":"org/code"}' \
 *       --set prompts=prompts/ --set tasks=medqa_4options,medmcqa,humaneval_xl,financeqa --set allowCode=true
 *
 * Models are directories, or models of the Hub (`org/name@revision`), each pinned to the commit that it is at. Prompts
 * are `<domain>.jsonl`, one `{"prompt": "…"}` a line; the specialists' own continuations are the golden data, so no labels
 * are needed and no evaluation item is used. `tuned` stops before any task is asked.
 */
import { Pipeline } from "@hila/core"
import { Stages as Merging } from "@hila/merge"
import { Runtime } from "@hila/model"
import * as Schema from "effect/Schema"
import { taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, tunings } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { hiMerging } from "./stages/HiMerging.ts"
import { hila, importanceOf } from "./stages/Hila.ts"
import { regression } from "./stages/Regression.ts"
import { scored } from "./stages/Scoreboard.ts"
import { measured, sens } from "./stages/Sens.ts"
import { shrunk } from "./stages/Shrunk.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

export default Pipeline.make({
  name: "thesis",
  options: {
    ...Family.options,
    tasks: Pipeline.option(
      Schema.String,
      "medqa_4options,medmcqa,financeqa",
      "tasks and groups of tasks, with commas between them",
    ),
    data: Pipeline.option(Schema.String, "", "directory with local copies of the tasks' data; else the Hub"),
    limit: Pipeline.option(Count, 0, "the first so many documents of each task; 0: all"),
    allowCode: Pipeline.option(
      Schema.Boolean,
      false,
      "whether tasks may run the programs that models write, in the sandbox",
    ),
    densities: Pipeline.option(
      Schema.NonEmptyArray(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
      [0.5, 1],
      "shares of the task vectors that HILA tries to keep; 1: no pruning",
    ),
    importance: Pipeline.option(
      Schema.Literals(["revert", "pathIntegrated"]),
      "revert",
      "how importance is measured; pathIntegrated costs less where there are many units",
    ),
    settle: Pipeline.option(
      Schema.Int.check(Schema.isGreaterThan(0)),
      1,
      "layers that Hi-Merging settles before it measures the others again; more is cheaper",
    ),
  },
  build: (options) => {
    const { allowCode, data, limit } = options
    const family = Family.of(options)
    const { base, domains, experts } = family
    const bench = benchOf(family, options)
    const golden = family.golden("score")
    // Shrunk, so that pruning is possible however few units are significant.
    const importance = importanceOf(bench, golden, options.importance).map((own, i) =>
      shrunk({ importance: own }, {}, domains[i]),
    )
    const follow = { gamma: 0.5, dropFraction: 0, floor: 0.1 }
    const { densities } = options
    const coefficients = {
      use: "both",
      tau: "distance",
      temperatureMode: "divide",
      temperatures: [0.05, 0.2, 1],
    } as const
    const entries = [
      taskArithmetic(bench),
      hila(bench, "HILA", importance, { densities, follow, temperatures: [1, 4, 16] }),
      ...hiMerging(bench, golden, { every: options.settle }),
      sens(bench, "Sens-Merging", "task arithmetic", measured(bench, golden), coefficients),
      // By heads, so that what is kept of a layer does not grow with the square of the model's width.
      regression(
        bench,
        "HILA regression",
        family.golden("score", true),
        { kind: "kronecker", blocked: true },
        { rhos: [1, 10, 100], lambdas: [0.4] },
      ),
    ]
    const models = {
      base,
      ...Object.fromEntries(domains.map((domain, i) => [domain, experts[i] ?? base])),
      average: Merging.linear({ models: experts }, {}, "average"),
      ...Object.fromEntries(entries.map(({ row, tuned }) => [row, tuned.model])),
    }
    const tasks = options.tasks
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "")
    return {
      tuned: tunings(
        { trials: entries.map(({ tuned }) => tuned.tuning) },
        { rows: entries.map(({ row }) => row) },
      ),
      report: scored(models, { tasks, data, limit, allowCode }, "task arithmetic"),
    }
  },
  layer: Runtime.layer,
})
