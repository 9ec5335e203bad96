/**
 * Scoring as pipeline stages: thin wrappers that open models and checkpoint batches and units.
 */
import { Artifact, Stage } from "@hila/core"
import { Checkpoint, Example, LanguageModel, Question, Tokenizer, Unit, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Balance from "./Balance.ts"
import * as Conflict from "./Conflict.ts"
import * as Golden from "./Golden.ts"
import * as GoldenFile from "./GoldenFile.ts"
import * as Importance from "./Importance.ts"
import * as LogitDistance from "./LogitDistance.ts"
import * as Prompts from "./Prompts.ts"
import * as Scores from "./Scores.ts"
import { ScoringError } from "./ScoringError.ts"
import * as Sensitivity from "./Sensitivity.ts"
import * as Split from "./Split.ts"
import * as Verifier from "./Verifier.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
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

/** Questions from a file of prompts: `name` tells the format by its ending. */
export const prompts = Stage.make({
  name: "prompts",
  version: 1,
  inputs: { file: Prompts.file },
  params: {
    name: Schema.String,
    domain: Schema.String,
    prompt: Schema.optionalKey(Schema.String),
    answer: Schema.optionalKey(Schema.String),
  },
  output: Question.artifact,
  run: ({ file }, { name, ...options }) => Prompts.read(file.path, options, name),
})

/** One part of some questions, disjoint from all other parts of the same sizes and seed. */
export const split = Stage.make({
  name: "split",
  version: 1,
  inputs: { questions: Stage.each(Question.artifact) },
  params: { sizes: Schema.Record(Schema.String, Count), part: Schema.String, seed: Schema.Int },
  output: Question.artifact,
  run: ({ questions }, { part, seed, sizes }) => Split.part(questions.flat(), sizes, part, seed),
})

/** An expert's own answers to questions: those that ended and are accepted. Checkpointed batch by batch. */
export const golden = Stage.make({
  name: "golden",
  version: 2,
  inputs: { teacher: Checkpoint.artifact, questions: Question.artifact },
  params: {
    maxTokens: Positive,
    stop: Schema.optionalKey(Schema.Array(Schema.String)),
    keep: Schema.optionalKey(Positive),
    requireEnd: Schema.optionalKey(Schema.Boolean),
    chat: Schema.optionalKey(Schema.Boolean),
    temperature: Schema.optionalKey(Schema.Finite),
    topK: Schema.optionalKey(Positive),
    topP: Schema.optionalKey(Schema.Finite),
    seed: Schema.optionalKey(Count),
    verify: Schema.optionalKey(Verifier.Spec),
  },
  output: Golden.artifact,
  environment: [LanguageModel],
  run: Effect.fn(function* ({ questions, teacher: checkpoint }, { verify, ...options }) {
    const wrong = verify === undefined ? undefined : Verifier.problem(verify)
    if (wrong !== undefined) return yield* new ScoringError({ subject: "verifier", problem: wrong })
    const service = yield* LanguageModel
    const teacher = yield* service.open(checkpoint)
    const answers = yield* Stage.forEach(
      Golden.batches(questions),
      (batch) => Golden.answer(teacher, batch.items, options),
      { part: (batch) => `answers-${batch.start}`, output: Answers },
    )
    const accept = verify === undefined ? () => true : Verifier.of(verify)
    return yield* Golden.select(answers.flat(), options, { questions, verify: accept })
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

/** Examples of several domains or languages in equal parts, in turns; see `Balance`. */
export const balanced = Stage.make({
  name: "balanced",
  version: 1,
  inputs: { sets: Stage.each(Example.artifact) },
  /** How many of each; as many as the smallest set has unless given. */
  params: { each: Schema.optionalKey(Positive) },
  output: Example.artifact,
  run: ({ sets }, { each }) => Balance.balanced(sets, each),
})

const Values = Artifact.json("values", Schema.Array(Schema.Array(Schema.Finite)))

/** The importance of an expert's units on its golden data. Checkpointed part by part. */
export const importance = Stage.make({
  name: "importance",
  version: 2,
  inputs: { base: Checkpoint.artifact, expert: Checkpoint.artifact, golden: Example.artifact },
  params: {
    scheme: UnitTable.Scheme,
    method: Schema.Literals(Importance.methods),
    seed: Schema.optionalKey(Schema.Int),
    quadrature: Schema.optionalKey(Positive),
  },
  output: Scores.artifact,
  environment: [LanguageModel],
  run: Effect.fn(function* ({ base, expert, golden: examples }, options) {
    const { units } = yield* Unit.partition(expert, options.scheme)
    const { quadrature = Importance.standardQuadrature, seed = 0 } = options
    const task = { base, expert, golden: examples, units, seed, quadrature }
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
  environment: [LanguageModel],
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
  environment: [LanguageModel],
  run: Effect.fn(function* ({ examples: all, model: checkpoint }) {
    const service = yield* LanguageModel
    const model = yield* service.open(checkpoint)
    const parts = yield* Stage.forEach(
      Golden.batches<Example.Example>(all),
      Effect.fnUntraced(function* (batch) {
        const { groups, values } = yield* model.sensitivity(batch.items)
        return { groups, values: values.map((row) => Array.from(row)) }
      }),
      { part: ({ start }) => `examples-${start}`, output: Groups },
    )
    return yield* Sensitivity.summarise(
      parts[0]?.groups ?? [],
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
  environment: [LanguageModel],
  run: Effect.fn(function* ({ examples: all, ...models }, { norm = "squared" }) {
    const service = yield* LanguageModel
    const specialist = yield* service.open(models.specialist)
    const others = yield* Effect.forEach(models.others, (checkpoint) => service.open(checkpoint))
    const parts = yield* Stage.forEach(
      Golden.batches(all),
      ({ items }) => LogitDistance.values(specialist, others, items, norm),
      { part: ({ start }) => `examples-${start}`, output: Values },
    )
    const found = others.map((_, at) => parts.flatMap((part) => part[at] ?? []))
    return yield* LogitDistance.summarise(found, all.length, norm)
  }, Effect.scoped),
})

export { statistics } from "./StatisticsStages.ts"
