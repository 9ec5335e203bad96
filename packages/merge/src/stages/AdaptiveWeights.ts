/** The stage `adaptive-weights`. */
import { Stage } from "@hila/core"
import { UnitTable } from "@hila/model"
import * as Schema from "effect/Schema"
import { adaptiveWeights as adaptiveWeightsOf } from "../units/AdaptiveWeights.ts"
import * as UnitWeights from "../units/UnitWeights.ts"
import { withDefault } from "./Params.ts"

/** Each expert's share in each unit, by a softmax over its relative importance. */
export const adaptiveWeights = Stage.make({
  name: "adaptive-weights",
  version: 1,
  inputs: { importance: Stage.each(UnitTable.artifact) },
  params: {
    temperature: withDefault(1),
    form: Schema.optionalKey(Schema.Literals(["softmax", "share", "winner"])),
  },
  output: UnitWeights.artifact,
  run: (inputs, params) => adaptiveWeightsOf(inputs, params),
})
