/**
 * Statistics of weights as a pipeline stage, checkpointed part by part.
 */
import { Stage } from "@hila/core"
import { Checkpoint, Example, Runtime, StatisticsModel, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Collection from "./statistics/Collection.ts"

/**
 * What a model's weights meet on examples, by kind, as merge methods weigh with it. `memory` is the bytes that the sums
 * of one pass may take; `blocked` takes covariances by heads as blocks, and inside of the MLP as diagonals.
 */
export const statistics = Stage.make({
  name: "statistics",
  version: 1,
  inputs: { model: Checkpoint.artifact, examples: Example.artifact },
  params: {
    kind: Schema.Literals(WeightStatistics.kinds),
    blocked: Schema.optionalKey(Schema.Boolean),
    memory: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  },
  output: WeightStatistics.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ examples, model: checkpoint }, options) {
    const model = yield* StatisticsModel.open(checkpoint)
    const directory = yield* Stage.scratch
    const parts = yield* Collection.parts(model, examples, options)
    const files = yield* Stage.forEach(
      parts,
      (part) => Collection.measure(model, part, join(directory, part.id)),
      { part: ({ id }) => id, output: WeightStatistics.artifact },
    )
    return yield* Collection.combine(model, parts, files, join(directory, "statistics.safetensors"))
  }, Effect.scoped),
})
