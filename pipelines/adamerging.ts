/**
 * AdaMerging and AdaMerging++ on a family: coefficients per task or per layer, learned on unlabeled texts (test-time
 * adaptation), against task arithmetic. `learned` rows descend the golden loss itself: what coefficients could bring.
 */
import { Pipeline } from "@hila/core"
import { Runtime } from "@hila/model"
import { taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { learned } from "./stages/Learning.ts"
import { elected } from "./stages/Sens.ts"

export default Pipeline.make({
  name: "adamerging",
  options: Family.options,
  build: (options) => {
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const texts = family.golden("score")
    const directions = elected(bench)
    const entropy = "entropy" as const
    return compared(family, [
      taskArithmetic(bench),
      learned(bench, "AdaMerging, task-wise", texts, { by: "task", objective: entropy }),
      learned(bench, "AdaMerging, layer-wise", texts, { by: "layer", objective: entropy }),
      learned(bench, "AdaMerging++, task-wise", texts, { by: "task", objective: entropy, directions }),
      learned(bench, "AdaMerging++, layer-wise", texts, { by: "layer", objective: entropy, directions }),
      learned(bench, "learned by golden loss, layer-wise", texts, { by: "layer", objective: "loss" }),
      learned(bench, "learned by golden loss, unit-wise", texts, { by: "unit", objective: "loss" }),
    ])
  },
  layer: Runtime.layer,
})
