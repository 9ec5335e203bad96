/**
 * Judging collaborations as pipeline stages: thresholds of cascades, predictions of everything on one seed's test rows.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Checkpoint, type ModelError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Cascade from "./Cascade.ts"
import * as Collaboration from "./Collaboration.ts"
import { CollabError } from "./CollabError.ts"
import * as Comparison from "./Comparison.ts"
import * as Evaluation from "./Evaluation.ts"
import * as Expert from "./Expert.ts"
import * as Features from "./Features.ts"
import * as Guide from "./Guide.ts"
import { load, requireLogits } from "./HeadStages.ts"
import * as Head from "./heads/Head.ts"
import * as HeadData from "./heads/HeadData.ts"
import * as HeadProgram from "./heads/HeadProgram.ts"
import { choices } from "./heads/HeadSpec.ts"
import * as LabelledText from "./LabelledText.ts"
import * as Latency from "./Latency.ts"
import * as Metrics from "./Metrics.ts"
import * as Plot from "./Plot.ts"

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
    const { tables, validation } = yield* load(features, queries, texts)
    yield* requireLogits({ tables }, "cascade")
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
  run: Effect.fn(function* (inputs, params) {
    const { texts } = inputs
    const data = yield* load(inputs.features, inputs.queries, texts)
    const { tables, test, validation } = data
    yield* requireLogits(data, "evaluation of experts alone")
    const classes = texts.classes.length
    const labels = [...test.labels]
    if (params.heads.length !== inputs.heads.length || params.models.length !== inputs.models.length) {
      return yield* new CollabError({
        subject: "evaluation",
        problem: "give one name for each head and model",
      })
    }
    const sum = (of: (table: Features.Table) => number) =>
      tables.reduce((total, table) => total + of(table), 0)
    const f1 = (log: Float32Array) =>
      Metrics.macroF1(Metrics.classesOf(log, classes), validation.labels, classes)
    const entries: Array<Evaluation.Entry> = []
    const alone = (name: string, kind: "expert" | "model", { info, rows }: Features.Table) => {
      const log = Metrics.logSoftmax(rows.test.logits, classes)
      const { bytes, flops, parameters } = info
      const cost = { stored: parameters, active: parameters, flops, bytes }
      const validationMacroF1 = f1(Metrics.logSoftmax(rows.validation.logits, classes))
      return Evaluation.entry({ name, kind, ...cost, validationMacroF1 }, log, labels, classes)
    }
    const experts = tables.map((table) => alone(`expert ${table.info.name}`, "expert", table))
    entries.push(...experts)
    for (const [i, file] of inputs.models.entries()) {
      entries.push(alone(at(params.models, i), "model", yield* Features.read(file)))
    }
    const whole = {
      stored: sum(({ info }) => info.parameters),
      active: sum(({ info }) => info.parameters),
      flops: sum(({ info }) => info.flops),
      bytes: sum(({ info }) => info.bytes),
    }
    const said = experts.map(({ predicted }) => predicted)
    const saidBefore = tables.map(({ rows }) =>
      Metrics.classesOf(Metrics.logSoftmax(rows.validation.logits, classes), classes),
    )
    const rightBefore = [...validation.labels]
    const of = (
      name: string,
      kind: "baseline" | "oracle",
      predicted: ReadonlyArray<number>,
      before: ReadonlyArray<number>,
    ) =>
      entries.push({
        name,
        kind,
        predicted,
        ...whole,
        validationMacroF1: Metrics.macroF1(before, rightBefore, classes),
      })
    of("majority vote", "baseline", Evaluation.vote(said), Evaluation.vote(saidBefore))
    of("oracle", "oracle", Evaluation.oracle(said, labels), Evaluation.oracle(saidBefore, rightBefore))
    for (const [i, file] of inputs.heads.entries()) {
      const { gate, run, spec, ...head } = yield* HeadProgram.open(file)
      const size = Head.size(head)
      const count = tables.length
      for (const k of choices(spec.strategy, count, params.topK)) {
        const masks = Effect.fnUntraced(function* (rows: HeadData.HeadData) {
          return k === count ? undefined : HeadData.top(yield* gate(rows.queries), count, k)
        })
        const mask = yield* masks(test)
        const log = (yield* run(test, mask)).logProbabilities
        const before = (yield* run(validation, yield* masks(validation))).logProbabilities
        const taken = (expert: number) =>
          mask === undefined
            ? 1
            : mask.reduce((n, value, at) => n + (at % count === expert ? value : 0), 0) /
              Math.max(1, test.count)
        const mean = (cost: (table: Features.Table) => number) =>
          tables.reduce((total, table, expert) => total + taken(expert) * cost(table), 0)
        const name = k === count ? at(params.heads, i) : `${at(params.heads, i)}, top ${k}`
        entries.push(
          Evaluation.entry(
            {
              name,
              kind: spec.strategy === "regression" ? "baseline" : "strategy",
              stored: whole.stored + size,
              active: mean(({ info }) => info.parameters) + size,
              flops: mean(({ info }) => info.flops) + 2 * size,
              bytes: whole.bytes + 4 * size,
              validationMacroF1: f1(before),
            },
            log,
            labels,
            classes,
          ),
        )
      }
    }
    const last = yield* HeadProgram.open(inputs.last)
    const lastSize = Head.size(last)
    const costs = tables.map(({ info }) => info.flops)
    for (const own of inputs.cascades) {
      const { fellThrough, logProbabilities, reached } = Cascade.outcome(
        own,
        test,
        (yield* last.run(test)).logProbabilities,
        classes,
      )
      const before = Cascade.outcome(own, validation, (yield* last.run(validation)).logProbabilities, classes)
      const through = fellThrough.reduce((a, b) => a + b, 0) / Math.max(1, test.count)
      const activeOf = (places: number) =>
        own.order.slice(0, places).reduce((n, expert) => n + at(tables, expert).info.parameters, 0)
      const active = reached.reduce((n, places) => n + activeOf(places), 0) / Math.max(1, test.count)
      entries.push(
        Evaluation.entry(
          {
            name: `F7 cascade ${Math.round(100 * own.budget)} %`,
            kind: "strategy",
            stored: whole.stored + lastSize,
            active: active + through * lastSize,
            flops: Cascade.shareOf(own.order, costs, reached) * whole.flops + 2 * through * lastSize,
            bytes: whole.bytes + 4 * lastSize,
            validationMacroF1: f1(before.logProbabilities),
          },
          logProbabilities,
          labels,
          classes,
        ),
      )
    }
    return { seed: params.seed, classes: texts.classes, labels, entries }
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

/** Accuracy against cost, as an SVG file. */
export const plot = Stage.make({
  name: "plot-collab",
  version: 1,
  inputs: { comparison: Comparison.artifact },
  output: Artifact.file("plot"),
  run: Effect.fn(function* ({ comparison }) {
    const path = join(yield* Stage.scratch, "plot.svg")
    yield* Effect.tryPromise({
      try: () => writeFile(path, Plot.svg(comparison)),
      catch: (cause) => new CollabError({ subject: path, problem: `cannot be written: ${String(cause)}` }),
    })
    return { path }
  }),
})

/** What to choose for which budget. */
export const guide = Stage.make({
  name: "guide-collab",
  version: 1,
  inputs: { comparison: Comparison.artifact, latency: Latency.artifact },
  output: Artifact.json("guide", Schema.String, { show: (text) => text }),
  run: ({ comparison, latency }) => Effect.succeed(Guide.show(comparison, latency)),
})

/** Times whole answers of experts alone, of heads, of chosen experts and of cascades. */
export const latency = Stage.make({
  name: "latency-collab",
  version: 1,
  inputs: {
    models: Stage.each(Checkpoint.artifact),
    alone: Stage.each(Checkpoint.artifact),
    texts: LabelledText.divided,
    heads: Stage.each(Head.artifact),
    cascades: Stage.each(Cascade.artifact),
    last: Head.artifact,
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
  run: Effect.fn(function* ({ alone, cascades, heads, last, models, texts }, params) {
    const { classes, test } = texts
    const asked = test.slice(0, 1024).map(({ text }) => text)
    const rows: Array<Latency.Row> = []
    const time = (
      name: string,
      answer: (texts: ReadonlyArray<string>) => Effect.Effect<unknown, ModelError>,
    ) => Effect.map(Latency.measure(name, answer, asked, params), (row) => void rows.push(row))
    for (const [i, spec] of params.specs.entries()) {
      yield* Effect.scoped(
        Effect.flatMap(Expert.open(at(models, i), spec), ({ read }) => time(`expert ${spec.name}`, read)),
      )
    }
    for (const [i, spec] of params.alone.entries()) {
      yield* Effect.scoped(
        Effect.flatMap(Expert.open(at(alone, i), spec), ({ read }) => time(spec.name, read)),
      )
    }
    const common = { models, specs: params.specs, classes }
    for (const [i, head] of heads.entries()) {
      const { spec } = yield* Head.read(head)
      for (const k of choices(spec.strategy, models.length, params.topK)) {
        const name = k === models.length ? at(params.heads, i) : `${at(params.heads, i)}, top ${k}`
        const opened = Collaboration.open({ ...common, head, topK: k })
        yield* Effect.scoped(Effect.flatMap(opened, ({ answer }) => time(name, answer)))
      }
    }
    for (const cascade of cascades) {
      const opened = Collaboration.open({ ...common, head: last, cascade })
      const name = `F7 cascade ${Math.round(100 * cascade.budget)} %`
      yield* Effect.scoped(Effect.flatMap(opened, ({ answer }) => time(name, answer)))
    }
    return Latency.of(rows, params.runs)
  }),
})
