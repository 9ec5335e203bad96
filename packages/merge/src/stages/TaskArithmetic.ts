/** The stage `task-arithmetic`. */
import { Stage } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { taskArithmetic as taskArithmeticOf } from "../TaskArithmetic.ts"
import { scratch, weights } from "./Params.ts"

/** The base plus λ times the sum of task vectors. */
export const taskArithmetic = Stage.make({
  name: "task-arithmetic",
  version: 1,
  inputs: { base: Checkpoint.artifact, experts: Stage.each(Checkpoint.artifact) },
  params: { lambda: Schema.Finite, weights },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* taskArithmeticOf(inputs, { ...params, card: false }, yield* scratch("merged"))
  }),
})
