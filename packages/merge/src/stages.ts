/**
 * The methods of this package as pipeline stages.
 *
 * Each is the plain function on the values of its input nodes; a checkpoint or mask is written to the stage's own
 * directory and kept by the store.
 */
import { Stage } from "@hila/core"
import { Checkpoint, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { adaptiveWeights as adaptiveWeightsOf } from "./AdaptiveWeights.ts"
import { fuse as fuseOf } from "./Fuse.ts"
import { linear as linearOf } from "./Linear.ts"
import * as Mask from "./Mask.ts"
import { prune as pruneOf } from "./Prune.ts"
import { taskArithmetic as taskArithmeticOf } from "./TaskArithmetic.ts"
import * as UnitWeights from "./UnitWeights.ts"

const scratch = (name: string) => Effect.map(Stage.scratch, (directory) => join(directory, name))
const withDefault = (value: number) =>
  Schema.Finite.pipe(Schema.withConstructorDefault(Effect.succeed(value)))
const weights = Schema.optionalKey(Schema.Array(Schema.Finite))

/** The weighted average of models, uniform without `weights`. */
export const linear = Stage.make({
  name: "linear",
  version: 1,
  inputs: { models: Stage.each(Checkpoint.artifact) },
  params: { weights },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* linearOf(inputs, params, yield* scratch("merged"))
  }),
})

/** The base plus λ times the sum of task vectors. */
export const taskArithmetic = Stage.make({
  name: "task-arithmetic",
  version: 1,
  inputs: { base: Checkpoint.artifact, experts: Stage.each(Checkpoint.artifact) },
  params: { lambda: Schema.Finite, weights },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* taskArithmeticOf(inputs, params, yield* scratch("merged"))
  }),
})

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
  },
  output: Mask.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* pruneOf(inputs, params, yield* scratch("mask.safetensors"))
  }),
})

/** Each expert's share in each unit, by a softmax over its relative importance. */
export const adaptiveWeights = Stage.make({
  name: "adaptive-weights",
  version: 1,
  inputs: { importance: Stage.each(UnitTable.artifact) },
  params: { temperature: withDefault(1) },
  output: UnitWeights.artifact,
  run: (inputs, params) => adaptiveWeightsOf(inputs, params),
})

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
  },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs, params) {
    return yield* fuseOf(inputs, params, yield* scratch("merged"))
  }),
})
