/** The stage `linear`. */
import { Stage } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { linear as linearOf } from "../Linear.ts"
import { scratch, weights } from "./Params.ts"

/** The weighted average of models, uniform without `weights`. */
export const linear = Stage.make({
  name: "linear",
  version: 1,
  inputs: { models: Stage.each(Checkpoint.artifact) },
  params: { weights },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* linearOf(inputs, { ...params, card: false }, yield* scratch("merged"))
  }),
})
