/** The stage `fuse`. */
import { Stage } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { fuse as fuseOf } from "../Fuse.ts"
import * as Mask from "../units/Mask.ts"
import * as UnitWeights from "../units/UnitWeights.ts"
import { scratch } from "./Params.ts"

/** The base plus λ times the masked task vectors, weighted unit by unit. */
export const fuse = Stage.make({
  name: "fuse",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    experts: Stage.each(Checkpoint.artifact),
    masks: Stage.each(Mask.artifact),
    weights: UnitWeights.artifact,
  },
  params: {
    lambda: Schema.Finite,
    residual: Schema.Literals(["mean", "uniform", "base"]).pipe(
      Schema.withConstructorDefault(Effect.succeed("mean" as const)),
    ),
    unitLambda: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite)),
    signElection: Schema.optionalKey(Schema.Boolean),
  },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* fuseOf(inputs, { ...params, card: false }, yield* scratch("merged"))
  }),
})
