/**
 * Random: a uniform draw from [0, 1) per unit, by seed and unit. A null: what a method gains by any ranking at all.
 *
 * A draw depends on the seed and the unit's id alone, not on the order or number of units.
 */
import { Digest } from "@hila/core"
import { concatenate, withoutData } from "./Parts.ts"
import * as Method from "./Method.ts"

export const method = Method.make({
  name: "random",
  version: 1,
  summary: "a draw, by seed and unit; a null without data",
  sources: [],
  options: ["seed"],
  cost: () => Method.passes(0),
  // 52 bits of a hash are as good as a generator's and need no state.
  parts: (task) =>
    withoutData(
      task,
      ({ id }) => Number.parseInt(Digest.of(`${task.seed} ${id}`).slice(0, 13), 16) / 2 ** 52,
    ),
  combine: concatenate,
})
