/**
 * Scoring as pipeline stages: thin wrappers that open models and checkpoint batches and units.
 */
import { Artifact, Choice, Stage } from "@hila/core"
import { atOr, known } from "@hila/core/Lookup"
import { CausalModel, Checkpoint, Example, Runtime, Unit, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Conflict from "./Conflict.ts"
import * as Golden from "./Golden.ts"
import * as Importance from "./Importance.ts"
import { names, versions } from "./importance/names.ts"
import * as LogitDistance from "./LogitDistance.ts"
import * as Scores from "./Scores.ts"
import * as Sensitivity from "./Sensitivity.ts"

const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

// Few short examples fill one worker; units side by side fill the others.
const concurrency = 4

const Values = Artifact.json("values", Schema.Array(Schema.Array(Schema.Finite)))

/** The importance of an expert's units on its golden data. Checkpointed part by part. */
export const importance = Stage.make({
  name: "importance",
  version: 2,
  inputs: { base: Checkpoint.artifact, expert: Checkpoint.artifact, golden: Example.artifact },
  params: {
    scheme: UnitTable.Scheme,
    method: Choice.schema(names, versions),
    seed: Schema.optionalKey(Schema.Int),
    quadrature: Schema.optionalKey(Positive),
  },
  output: Scores.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ base, expert, golden: examples }, options) {
    const { units } = yield* Unit.partition(expert, options.scheme)
    const task = { base, expert, golden: examples, units, ...Importance.optionsOf(options) }
    const models = yield* Importance.models(base, expert, examples)
    const parts = yield* Importance.parts(task, models, options.method)
    const measured = yield* Stage.forEach(parts, ({ measure }) => measure, {
      part: ({ id }) => id,
      output: Values,
      concurrency,
    })
    return Importance.scores(task, Importance.combine(options.method, measured), options)
  }, Effect.scoped),
})

/**
 * How much less each unit of an expert is worth in a merged model than in the expert: see `Conflict`. `importance` may
 * hold the expert's scores by revert on the same golden data, so that they are not measured again. Checkpointed part by
 * part.
 */
export const conflict = Stage.make({
  name: "conflict",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    expert: Checkpoint.artifact,
    merged: Checkpoint.artifact,
    golden: Example.artifact,
    importance: Stage.each(Scores.artifact),
  },
  params: {
    scheme: UnitTable.Scheme,
    /** What the expert's change is multiplied by in the merged model: in all units, or in each. */
    coefficient: Schema.Union([Schema.Finite, Schema.Array(Schema.Finite)]),
  },
  output: Conflict.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ importance, ...input }, options) {
    const { combine, parts } = yield* Conflict.prepare({ ...input, importance: importance[0] }, options)
    const measured = yield* Stage.forEach(parts, ({ measure }) => measure, {
      part: ({ id }) => id,
      output: Values,
      concurrency,
    })
    return combine(measured)
  }, Effect.scoped),
})

const Groups = Artifact.json(
  "sensitivity-part",
  Schema.Struct({ groups: Schema.Array(Schema.String), values: Schema.Array(Schema.Array(Schema.Finite)) }),
)

/** How sensitive a model's loss on examples is to each layer: `rows` by group of tensors. Checkpointed batch by batch. */
export const sensitivity = Stage.make({
  name: "sensitivity",
  version: 1,
  inputs: { model: Checkpoint.artifact, examples: Example.artifact },
  output: Sensitivity.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ examples: all, model: checkpoint }) {
    const model = yield* CausalModel.open(checkpoint)
    const parts = yield* Stage.forEach(
      Golden.batches<Example.Example>(all),
      Effect.fnUntraced(function* (batch) {
        const { groups, values } = yield* model.sensitivity(batch.items)
        return { groups, values: values.map((row) => Array.from(row)) }
      }),
      { part: ({ start }) => `examples-${start}`, output: Groups },
    )
    return yield* Sensitivity.summarise(
      atOr(parts, 0, { groups: [] }).groups,
      parts.flatMap(({ values }) => values),
    )
  }, Effect.scoped),
})

/**
 * How far each of the others is from the specialist in its logits on examples, its own as a rule: `rows` in the order
 * of the others. Checkpointed batch by batch.
 */
export const logitDistance = Stage.make({
  name: "logit-distance",
  version: 1,
  inputs: {
    specialist: Checkpoint.artifact,
    others: Stage.each(Checkpoint.artifact),
    examples: Example.artifact,
  },
  params: { norm: Schema.optionalKey(LogitDistance.Norm) },
  output: LogitDistance.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ examples: all, ...models }, { norm = "squared" }) {
    const specialist = yield* CausalModel.open(models.specialist)
    const others = yield* Effect.forEach(models.others, (checkpoint) => CausalModel.open(checkpoint))
    const parts = yield* Stage.forEach(
      Golden.batches(all),
      ({ items }) => LogitDistance.values(specialist, others, items, norm),
      { part: ({ start }) => `examples-${start}`, output: Values },
    )
    const found = others.map((_, at) => parts.flatMap((part) => known(part[at])))
    return yield* LogitDistance.summarise(found, all.length, norm)
  }, Effect.scoped),
})

export { answers, balanced, examples, golden, prompts, selected, split } from "./GoldenStages.ts"
export { statistics } from "./StatisticsStages.ts"
