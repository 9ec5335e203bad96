/**
 * Judging one seed's test rows: experts and models alone, votes, heads over all or chosen experts, and cascades, each with
 * what it costs. The validation rows say how good each looked before.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type * as Cascade from "./Cascade.ts"
import { outcome, shareOf } from "./Cascade.ts"
import { CollabError } from "./CollabError.ts"
import * as Evaluation from "./Evaluation.ts"
import type * as Features from "./Features.ts"
import * as Head from "./heads/Head.ts"
import * as HeadData from "./heads/HeadData.ts"
import * as HeadProgram from "./heads/HeadProgram.ts"
import { choices } from "./heads/HeadSpec.ts"
import * as HeadTables from "./heads/HeadTables.ts"
import * as Metrics from "./Metrics.ts"

type File = Parameters<typeof HeadProgram.open>[0]

/** What is judged beside the experts of the tables. */
export interface Judged {
  readonly heads: ReadonlyArray<File>
  /** Models that answer alone. */
  readonly models: ReadonlyArray<Features.Table>
  readonly cascades: ReadonlyArray<Cascade.Cascade>
  /** What cascades fall back to. */
  readonly last: File
}

/** How it is named, and with how many experts gated heads are judged beside all. */
export interface Names {
  readonly heads: ReadonlyArray<string>
  readonly models: ReadonlyArray<string>
  readonly topK: ReadonlyArray<number>
}

/** The test rows with all that goes into an entry. */
const benchOf = (tables: HeadTables.HeadTables, classes: number) => {
  const { test, validation } = tables
  const sum = (of: (info: Features.Table["info"]) => number) =>
    tables.tables.reduce((total, { info }) => total + of(info), 0)
  const labels = [...test.labels]
  return {
    ...tables,
    classes,
    labels,
    macroF1: (log: Float32Array) =>
      Metrics.macroF1(Metrics.classesOf(log, classes), validation.labels, classes),
    entry: (given: Parameters<typeof Evaluation.entry>[0], log: Float32Array) =>
      Evaluation.entry(given, log, labels, classes),
    /** What all experts cost together. */
    whole: {
      stored: sum(({ parameters }) => parameters),
      active: sum(({ parameters }) => parameters),
      flops: sum(({ flops }) => flops),
      bytes: sum(({ bytes }) => bytes),
    },
  }
}
type Bench = ReturnType<typeof benchOf>

const alone = (
  { classes, entry, macroF1 }: Bench,
  name: string,
  kind: "expert" | "model",
  { info: { bytes, flops, parameters }, rows }: Features.Table,
): Evaluation.Entry => {
  const cost = { stored: parameters, active: parameters, flops, bytes }
  const validationMacroF1 = macroF1(Metrics.logSoftmax(rows.validation.logits, classes))
  return entry({ name, kind, ...cost, validationMacroF1 }, Metrics.logSoftmax(rows.test.logits, classes))
}

/** What the experts say together without any training: the majority, and whoever is right. */
const together = (
  { classes, labels, tables, validation, whole }: Bench,
  experts: ReadonlyArray<Evaluation.Entry>,
): ReadonlyArray<Evaluation.Entry> => {
  const said = experts.map(({ predicted }) => predicted)
  const saidBefore = tables.map(({ rows }) =>
    Metrics.classesOf(Metrics.logSoftmax(rows.validation.logits, classes), classes),
  )
  const right = [...validation.labels]
  const of = (
    name: string,
    kind: "baseline" | "oracle",
    predicted: ReadonlyArray<number>,
    before: ReadonlyArray<number>,
  ): Evaluation.Entry => {
    const validationMacroF1 = Metrics.macroF1(before, right, classes)
    return { name, kind, predicted, ...whole, validationMacroF1 }
  }
  return [
    of("majority vote", "baseline", Evaluation.vote(said), Evaluation.vote(saidBefore)),
    of("oracle", "oracle", Evaluation.oracle(said, labels), Evaluation.oracle(saidBefore, right)),
  ]
}

/** A head over all experts and, where it has a gate, over the best few of them. */
const head = Effect.fnUntraced(function* (
  { entry, macroF1, tables, test, validation, whole }: Bench,
  file: File,
  called: string,
  topK: ReadonlyArray<number>,
) {
  const { gate, run, spec, ...opened } = yield* HeadProgram.open(file)
  const [size, count] = [Head.size(opened), tables.length]
  return yield* Effect.forEach(choices(spec.strategy, count, topK), (k) =>
    Effect.gen(function* () {
      const masks = Effect.fnUntraced(function* (rows: HeadData.HeadData) {
        return k === count ? undefined : HeadData.top(yield* gate(rows.queries), count, k)
      })
      const mask = yield* masks(test)
      const log = (yield* run(test, mask)).logProbabilities
      const before = (yield* run(validation, yield* masks(validation))).logProbabilities
      const taken = (expert: number) =>
        mask === undefined
          ? 1
          : mask.reduce((n, value, i) => n + (i % count === expert ? value : 0), 0) / Math.max(1, test.count)
      const mean = (cost: (info: Features.Table["info"]) => number) =>
        tables.reduce((total, { info }, expert) => total + taken(expert) * cost(info), 0)
      return entry(
        {
          name: k === count ? called : `${called}, top ${k}`,
          kind: spec.strategy === "regression" ? "baseline" : "strategy",
          stored: whole.stored + size,
          active: mean(({ parameters }) => parameters) + size,
          flops: mean(({ flops }) => flops) + 2 * size,
          bytes: whole.bytes + 4 * size,
          validationMacroF1: macroF1(before),
        },
        log,
      )
    }),
  )
})

/** Cascades that fall back to one head. */
const cascades = Effect.fnUntraced(function* (
  { classes, entry, macroF1, tables, test, validation, whole }: Bench,
  all: ReadonlyArray<Cascade.Cascade>,
  file: File,
) {
  const last = yield* HeadProgram.open(file)
  const size = Head.size(last)
  const costs = tables.map(({ info }) => info.flops)
  const fallBack = {
    test: (yield* last.run(test)).logProbabilities,
    validation: (yield* last.run(validation)).logProbabilities,
  }
  return all.map((own) => {
    const { fellThrough, logProbabilities, reached } = outcome(own, test, fallBack.test, classes)
    const before = outcome(own, validation, fallBack.validation, classes)
    const through = fellThrough.reduce((a, b) => a + b, 0) / Math.max(1, test.count)
    const activeOf = (places: number) =>
      own.order.slice(0, places).reduce((n, expert) => n + at(tables, expert).info.parameters, 0)
    const active = reached.reduce((n, places) => n + activeOf(places), 0) / Math.max(1, test.count)
    return entry(
      {
        name: `F7 cascade ${Math.round(100 * own.budget)} %`,
        kind: "strategy",
        stored: whole.stored + size,
        active: active + through * size,
        flops: shareOf(own.order, costs, reached) * whole.flops + 2 * through * size,
        bytes: whole.bytes + 4 * size,
        validationMacroF1: macroF1(before.logProbabilities),
      },
      logProbabilities,
    )
  })
})

/** Everything on the test rows, in the order in which tables show it. */
export const judge = Effect.fnUntraced(function* (
  tables: HeadTables.HeadTables,
  classes: number,
  judged: Judged,
  names: Names,
) {
  yield* HeadTables.requireLogits(tables, "evaluation of experts alone")
  if (names.heads.length !== judged.heads.length || names.models.length !== judged.models.length) {
    const problem = "give one name for each head and model"
    return yield* new CollabError({ subject: "evaluation", problem })
  }
  const bench = benchOf(tables, classes)
  const experts = tables.tables.map((table) => alone(bench, `expert ${table.info.name}`, "expert", table))
  const heads = yield* Effect.forEach(judged.heads, (file, i) =>
    head(bench, file, at(names.heads, i), names.topK),
  )
  return [
    ...experts,
    ...judged.models.map((table, i) => alone(bench, at(names.models, i), "model", table)),
    ...together(bench, experts),
    ...heads.flat(),
    ...(yield* cascades(bench, judged.cascades, judged.last)),
  ]
})
