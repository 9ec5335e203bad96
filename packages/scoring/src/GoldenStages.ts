/**
 * Golden data as pipeline stages: from files of prompts over their parts and an expert's answers to sets of examples.
 */
import { Stage } from "@hila/core"
import { Answer, CausalModel, Checkpoint, Example, Question, Runtime, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Balance from "./Balance.ts"
import * as Golden from "./Golden.ts"
import * as GoldenFile from "./GoldenFile.ts"
import * as Prompts from "./Prompts.ts"
import { ScoringError } from "./ScoringError.ts"
import * as Split from "./Split.ts"
import * as Verifier from "./Verifier.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

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

/** How an expert answers. */
const asking = {
  maxTokens: Positive,
  stop: Schema.optionalKey(Schema.Array(Schema.String)),
  chat: Schema.optionalKey(Schema.Boolean),
  temperature: Schema.optionalKey(Schema.Finite),
  topK: Schema.optionalKey(Positive),
  topP: Schema.optionalKey(Schema.Finite),
  seed: Schema.optionalKey(Count),
}

/** Which answers are kept. */
const choosing = {
  keep: Schema.optionalKey(Positive),
  requireEnd: Schema.optionalKey(Schema.Boolean),
  verify: Schema.optionalKey(Verifier.Spec),
}

/** The expert's answers to all questions, in their order. Checkpointed batch by batch. */
const ask = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
  questions: ReadonlyArray<Question.Question>,
  options: Golden.Options,
) {
  const teacher = yield* CausalModel.open(checkpoint)
  const answered = yield* Stage.forEach(
    Golden.batches(questions),
    (batch) => Golden.answer(teacher, batch.items, options),
    { part: (batch) => `answers-${batch.start}`, output: Answer.artifact },
  )
  return answered.flat()
})

const verifier = Effect.fnUntraced(function* (spec: Verifier.Spec | undefined) {
  if (spec === undefined) return undefined
  const wrong = Verifier.problem(spec)
  return wrong === undefined
    ? Verifier.of(spec)
    : yield* new ScoringError({ subject: "verifier", problem: wrong })
})

/** An expert's own answers to questions: those that ended and are accepted. Checkpointed batch by batch. */
export const golden = Stage.make({
  name: "golden",
  version: 2,
  inputs: { teacher: Checkpoint.artifact, questions: Question.artifact },
  params: { ...asking, ...choosing },
  output: Golden.artifact,
  environment: [Runtime],
  run: Effect.fn(function* ({ questions, teacher }, { verify: spec, ...options }) {
    const verify = yield* verifier(spec)
    const answered = yield* ask(teacher, questions, options)
    return yield* Golden.choose(questions, answered, options, { verify })
  }, Effect.scoped),
})

/**
 * All of an expert's answers to questions, in their order: the first half of `golden`, for verdicts by other stages.
 * Checkpointed batch by batch.
 */
export const answers = Stage.make({
  name: "answers",
  version: 1,
  inputs: { teacher: Checkpoint.artifact, questions: Question.artifact },
  params: asking,
  output: Answer.artifact,
  environment: [Runtime],
  run: Effect.fn(({ questions, teacher }, options) => ask(teacher, questions, options), Effect.scoped),
})

/**
 * Answers as golden data: the second half of `golden`. An answer is accepted if all verdicts on it are good; they may come
 * from any stage, `Stages.unitTests` of `@hila/eval` for one.
 */
export const selected = Stage.make({
  name: "selected",
  version: 1,
  inputs: {
    answers: Answer.artifact,
    questions: Question.artifact,
    verdicts: Stage.each(Answer.verdicts),
  },
  params: choosing,
  output: Golden.artifact,
  run: Effect.fn(function* ({ answers: given, questions, verdicts }, { verify: spec, ...choice }) {
    const verify = yield* verifier(spec)
    return yield* Golden.choose(questions, given, choice, { verify, verdicts })
  }),
})

/** The examples of a file, tokenised by the expert's tokenizer where the file has texts alone. */
export const examples = Stage.make({
  name: "examples",
  version: 2,
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
