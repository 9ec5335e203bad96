/**
 * Evaluation as pipeline stages: thin wrappers that open models, checkpoint batches and name columns.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { CausalModel, Checkpoint, Example, Question, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Accuracy from "./Accuracy.ts"
import * as Comparison from "./Comparison.ts"
import { EvalError } from "./EvalError.ts"
import * as GoldenLoss from "./GoldenLoss.ts"
import * as Micro from "./Micro.ts"
import * as MicroRules from "./MicroRules.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** Seeded questions of the micro task: `take` of one domain and side, after the first `skip`. */
export const questions = Stage.make({
  name: "questions",
  version: 1,
  params: {
    domain: Schema.Literals(MicroRules.domains),
    side: Schema.Literals(MicroRules.sides),
    seed: Schema.Int,
    skip: Count,
    take: Count,
  },
  output: Question.artifact,
  run: (_, selection) => Micro.questions(selection),
})

/** A model's exact-match accuracy on one or more sets of questions; checkpointed batch by batch. */
export const accuracy = Stage.make({
  name: "accuracy",
  version: 1,
  inputs: { model: Checkpoint.artifact, questions: Stage.each(Question.artifact) },
  params: { maxTokens: Positive, stop: Schema.Array(Schema.String) },
  output: Accuracy.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ model: checkpoint, questions: sets }, options) {
    const model = yield* CausalModel.open(checkpoint)
    const items = yield* Stage.forEach(
      Accuracy.batches(sets.flat()),
      (batch) => Accuracy.ask(model, batch.questions, options),
      { part: (batch) => `items-${batch.start}`, output: Artifact.jsonl("items", Accuracy.Item) },
    )
    return yield* Accuracy.ofItems(items.flat())
  }, Effect.scoped),
})

/** A model's losses on golden sets; `domains` names the sets in their order. */
export const goldenLoss = Stage.make({
  name: "golden-loss",
  version: 1,
  inputs: { model: Checkpoint.artifact, golden: Stage.each(Example.artifact) },
  params: { domains: Schema.Array(Schema.String) },
  output: GoldenLoss.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ golden, model: checkpoint }, { domains }) {
    yield* requireNames("golden loss", domains, "golden sets", golden.length)
    const model = yield* CausalModel.open(checkpoint)
    const losses = yield* Stage.forEach(
      domains,
      (domain, index) => GoldenLoss.measure(model, domain, at(golden, index)),
      { part: (_, index) => `losses-${index}`, output: Artifact.json("domain-loss", GoldenLoss.DomainLoss) },
    )
    return { domains: losses }
  }, Effect.scoped),
})

/** The table of several models; `models` names them in the order of both slots. */
export const compare = Stage.make({
  name: "compare",
  version: 1,
  inputs: { accuracy: Stage.each(Accuracy.artifact), loss: Stage.each(GoldenLoss.artifact) },
  params: {
    models: Schema.Array(Schema.String),
    base: Schema.String,
    experts: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  },
  output: Comparison.artifact,
  run: Effect.fn(function* ({ accuracy: accuracies, loss: losses }, { models, ...options }) {
    yield* requireNames("comparison", models, "accuracies", accuracies.length)
    yield* requireNames("comparison", models, "golden losses", losses.length)
    const entries = models.flatMap((name, index): ReadonlyArray<Comparison.Entry> => {
      const [own, loss] = [accuracies[index], losses[index]]
      return own === undefined || loss === undefined ? [] : [{ name, accuracy: own, loss }]
    })
    return yield* Comparison.make(entries, options)
  }),
})

const requireNames = (subject: string, names: ReadonlyArray<string>, what: string, number: number) =>
  names.length === number
    ? Effect.void
    : Effect.fail(
        new EvalError({
          subject,
          problem: `${names.length} names (${names.join(", ")}) for ${number} ${what}; give one name for each`,
        }),
      )

export { contamination } from "./ContaminationStage.ts"
export { drift, heldOut, heldOutFile } from "./HeldOutStages.ts"
export { unitTests } from "./UnitTestStage.ts"
export {
  builtInTasks,
  files,
  scoresArtifact,
  taskItems,
  type TaskScores,
  taskScores,
  taskTable,
} from "./TaskStages.ts"
