/**
 * The merge methods that look at weights alone, each with the same tuning budget, on a family.
 *
 * Three golden sets with no prompt in common: none is scored on here, λ and each method's own setting are chosen on the
 * second, `results` is on the third and on the family's evaluation items. `hila run pipelines/baselines.ts tuned` leaves
 * the third closed.
 */
import { Pipeline } from "@hila/core"
import { Runtime } from "@hila/model"
import * as Schema from "effect/Schema"
import { baselines } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"

export default Pipeline.make({
  name: "baselines",
  options: {
    ...Family.options,
    seeds: Pipeline.option(
      Schema.Int.check(Schema.isGreaterThan(0)),
      3,
      "seeds of each method that draws at random",
    ),
  },
  build: (options) => {
    const family = Family.of(options)
    return compared(family, baselines(benchOf(family, options), options.seeds))
  },
  layer: Runtime.layer,
})
