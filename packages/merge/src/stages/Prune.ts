/** The stage `prune`. */
import { Stage } from "@hila/core"
import { Checkpoint, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { prune as pruneOf } from "../prune/Prune.ts"
import * as Mask from "../units/Mask.ts"
import { scratch, withDefault } from "./Params.ts"

/** The mask of an expert's task vector by the importance of its units. */
export const prune = Stage.make({
  name: "prune",
  version: 1,
  inputs: { base: Checkpoint.artifact, expert: Checkpoint.artifact, importance: UnitTable.artifact },
  params: {
    density: withDefault(0.5),
    dropFraction: withDefault(0.1),
    gamma: withDefault(1),
    rhoMin: withDefault(0.05),
    sparsifier: Schema.optionalKey(Schema.Literals(["magnitude", "dare", "della"])),
    seed: Schema.optionalKey(Schema.Int),
  },
  output: Mask.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* pruneOf(inputs, params, yield* scratch("mask.safetensors"))
  }),
})
