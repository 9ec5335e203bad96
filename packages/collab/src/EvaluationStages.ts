/**
 * Judging collaborations as pipeline stages: thresholds of cascades, predictions of everything on one seed's test rows.
 */
import { Stage } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cascade from "./Cascade.ts"
import * as Comparison from "./Comparison.ts"
import * as Evaluation from "./Evaluation.ts"
import * as Expert from "./Expert.ts"
import * as Features from "./Features.ts"
import * as Guide from "./Guide.ts"
import * as Head from "./heads/Head.ts"
import * as HeadProgram from "./heads/HeadProgram.ts"
import * as HeadTables from "./heads/HeadTables.ts"
import * as Judging from "./Judging.ts"
import * as LabelledText from "./LabelledText.ts"
import * as Latency from "./Latency.ts"
import * as Timing from "./Timing.ts"

const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Thresholds of a cascade for a share of the cost of all experts; `head` answers what falls through. */
export const cascade = Stage.make({
  name: "cascade",
  version: 1,
  inputs: {
    features: Stage.each(Features.artifact),
    queries: Features.artifact,
    texts: LabelledText.divided,
    head: Head.artifact,
  },
  params: { budget: Share },
  output: Cascade.artifact,
  run: Effect.fn(function* ({ features, head, queries, texts }, { budget }) {
    const { tables, validation } = yield* HeadTables.load(features, queries, texts)
    yield* HeadTables.requireLogits({ tables }, "cascade")
    const program = yield* HeadProgram.open(head)
    const { logProbabilities: last } = yield* program.run(validation)
    return Cascade.choose({
      data: validation,
      last,
      classes: texts.classes.length,
      costs: tables.map(({ info }) => info.flops),
      budget,
    })
  }, Effect.scoped),
})

/** Everything on the test rows of one seed. */
export const evaluate = Stage.make({
  name: "evaluate-collab",
  version: 1,
  inputs: {
    features: Stage.each(Features.artifact),
    queries: Features.artifact,
    texts: LabelledText.divided,
    heads: Stage.each(Head.artifact),
    /** Models that answer alone, beside the experts. */
    models: Stage.each(Features.artifact),
    cascades: Stage.each(Cascade.artifact),
    /** What cascades fall back to. */
    last: Head.artifact,
  },
  params: {
    seed: Schema.Int,
    heads: Schema.Array(Schema.String),
    models: Schema.Array(Schema.String),
    /** Gated heads are also judged with so many experts. */
    topK: Schema.Array(Count),
  },
  output: Evaluation.artifact,
  run: Effect.fn(function* ({ features, queries, texts, ...given }, { seed, ...names }) {
    const tables = yield* HeadTables.load(features, queries, texts)
    const models = yield* Effect.forEach(given.models, Features.read)
    const [classes, labels] = [texts.classes, [...tables.test.labels]]
    const entries = yield* Judging.judge(tables, classes.length, { ...given, models }, names)
    return { seed, classes, labels, entries }
  }, Effect.scoped),
})

/** The comparison of evaluations, one per seed. */
export const compare = Stage.make({
  name: "compare-collab",
  version: 1,
  inputs: { evaluations: Stage.each(Evaluation.artifact) },
  output: Comparison.artifact,
  run: ({ evaluations }) => Comparison.make(evaluations),
})

/** What to choose for which budget of parameters and operations. */
export const guide = Stage.make({
  name: "guide-collab",
  version: 2,
  inputs: { comparison: Comparison.artifact },
  output: Guide.artifact,
  run: ({ comparison }) => Effect.succeed(Guide.of(comparison)),
})

/**
 * Times whole answers of experts alone, of heads, of chosen experts and of cascades. The times are what this execution
 * measured, and no content.
 */
export const latency = Stage.make({
  name: "latency-collab",
  version: 2,
  inputs: {
    models: Stage.each(Checkpoint.artifact),
    alone: Stage.each(Checkpoint.artifact),
    texts: LabelledText.divided,
    heads: Stage.each(Head.artifact),
    cascades: Stage.each(Cascade.artifact),
    last: Head.artifact,
    /** What the timed ways of answering are worth. */
    comparison: Comparison.artifact,
  },
  params: {
    specs: Schema.Array(Expert.Spec),
    /** The models that answer alone, and how they read. */
    alone: Schema.Array(Expert.Spec),
    heads: Schema.Array(Schema.String),
    topK: Schema.Array(Count),
    runs: Count,
    warm: Count,
  },
  output: Latency.artifact,
  run: Effect.fn(function* ({ comparison, texts: { classes, test }, ...models }, params) {
    const asked = test.slice(0, 1024).map(({ text }) => text)
    const timings = yield* Timing.measure({ ...models, classes }, asked, params)
    yield* Stage.measure(Latency.measured(timings))
    return Latency.of(timings, comparison, params.runs)
  }),
})
