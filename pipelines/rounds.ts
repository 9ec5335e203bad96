/**
 * Three rounds of improving HILA, judged on the tune split: `hila run pipelines/rounds.ts tuned`. Each round is an option,
 * so that a round costs what its own rows cost; `results` opens the held-out side of the rows asked for.
 */
import { Pipeline } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Runtime } from "@hila/model"
import * as Schema from "effect/Schema"
import { taskArithmetic } from "./stages/Baselines.ts"
import { benchOf, compared } from "./stages/Comparing.ts"
import * as Family from "./stages/Family.ts"
import { importanceOf } from "./stages/Hila.ts"
import { arithmeticWithRest } from "./stages/Statistical.ts"
import { first, second, third } from "./stages/Variants.ts"

export default Pipeline.make({
  name: "rounds",
  options: {
    ...Family.options,
    round: Pipeline.option(Schema.Literals([1, 2, 3]), 1, "which round"),
    rows: Pipeline.option(Schema.Array(Schema.String), [], "rows of it by name; all unless given"),
  },
  build: (options) => {
    const family = Family.of(options)
    const bench = benchOf(family, options)
    const drawn = family.golden("score", true)
    const scored = importanceOf(bench, family.golden("score"), "revert")
    const rounds = [first(bench, scored), second(bench, scored, drawn), third(bench, scored, drawn)]
    const entries = at(rounds, options.round - 1).filter(
      ({ row }) => options.rows.length === 0 || options.rows.includes(row),
    )
    return compared(family, [taskArithmetic(bench), arithmeticWithRest(bench), ...entries])
  },
  layer: Runtime.layer,
})
