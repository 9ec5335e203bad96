/**
 * Scoring as pipeline stages: thin wrappers that open models and checkpoint batches and units.
 */
import { Artifact, Stage } from "@hila/core"
import { Checkpoint, Example, LanguageModel, Question, Tokenizer, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Golden from "./Golden.ts"
import * as GoldenFile from "./GoldenFile.ts"
import * as Importance from "./Importance.ts"
import * as Scores from "./Scores.ts"

const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

const Answers = Artifact.jsonl(
  "answers",
  Schema.Struct({
    prompt: Schema.String,
    response: Schema.String,
    tokens: Schema.Array(Schema.Int),
    promptLength: Schema.Int,
    end: Schema.Literals(["eos", "stop", "length"]),
  }),
)

/** An expert's own greedy answers to questions: those that ended, without duplicates. Checkpointed batch by batch. */
export const golden = Stage.make({
  name: "golden",
  version: 1,
  inputs: { teacher: Checkpoint.artifact, questions: Question.artifact },
  params: {
    maxTokens: Positive,
    stop: Schema.optionalKey(Schema.Array(Schema.String)),
    keep: Schema.optionalKey(Positive),
  },
  output: Golden.artifact,
  run: Effect.fn(function* ({ questions, teacher: checkpoint }, options) {
    const service = yield* LanguageModel
    const teacher = yield* service.open(checkpoint)
    const answers = yield* Stage.forEach(
      Golden.batches(questions),
      (batch) => Golden.answer(teacher, batch.items, options),
      { part: (batch) => `answers-${batch.start}`, output: Answers },
    )
    return yield* Golden.select(answers.flat(), options)
  }, Effect.scoped),
})

// Few short examples fill one worker; units side by side fill the others.
const concurrency = 4

/** The examples of a file, tokenised by the expert's tokenizer where the file has texts alone. */
export const examples = Stage.make({
  name: "examples",
  version: 1,
  inputs: { expert: Checkpoint.artifact, lines: GoldenFile.artifact },
  output: Example.artifact,
  run: ({ expert, lines }) => GoldenFile.examples(lines, Tokenizer.open(expert)),
})

const Values = Artifact.json("values", Schema.Array(Schema.Array(Schema.Finite)))

/** The importance of an expert's units on its golden data. Checkpointed block by block. */
export const importance = Stage.make({
  name: "importance",
  version: 2,
  inputs: { base: Checkpoint.artifact, expert: Checkpoint.artifact, golden: Example.artifact },
  params: {
    scheme: Schema.Literals(["kvGroup", "queryHead"]),
    method: Schema.Literals(Importance.methods),
    seed: Schema.optionalKey(Schema.Int),
  },
  output: Scores.artifact,
  run: Effect.fn(function* ({ base, expert, golden: examples }, options) {
    const { units } = yield* Unit.partition(expert, options.scheme)
    const task = { base, expert, golden: examples, units, seed: options.seed ?? 0 }
    const models = yield* Importance.models(base, expert, examples)
    const blocks = yield* Importance.blocks(task, models, options.method)
    const values = yield* Stage.forEach(blocks, ({ measure }) => measure, {
      part: ({ id }) => id,
      output: Values,
    })
    return Importance.scores(task, values.flat(), options)
  }, Effect.scoped),
})
