/**
 * Experts, gate and head that answer texts together; only experts that are needed run.
 *
 * With `topK`, the gate chooses experts before any has run. With a cascade, experts run one after another until one is
 * sure. Else all run. An expert that does not run costs nothing: its features are zeros behind a closed gate.
 */
import type { Artifact } from "@hila/core"
import { at, atOr } from "@hila/core/Lookup"
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Cascade from "./Cascade.ts"
import { CollabError } from "./CollabError.ts"
import * as Expert from "./Expert.ts"
import * as Fit from "./Fit.ts"
import * as Head from "./heads/Head.ts"
import * as HeadData from "./heads/HeadData.ts"
import * as HeadProgram from "./heads/HeadProgram.ts"
import * as Metrics from "./Metrics.ts"
import * as Query from "./Query.ts"

/** What is said of one text. */
export const Answer = Schema.Struct({
  class: Schema.String,
  probability: Schema.Finite,
  /** By class. */
  probabilities: Schema.Record(Schema.String, Schema.Finite),
  /** By expert, over those that ran; where one expert answered alone, 1 for it. */
  gates: Schema.Record(Schema.String, Schema.Finite),
  /** Experts that ran, in their order. */
  ran: Schema.Array(Schema.String),
})
export type Answer = typeof Answer.Type

export interface Options {
  readonly models: ReadonlyArray<Checkpoint.Checkpoint>
  readonly specs: ReadonlyArray<Expert.Spec>
  readonly head: Artifact.FileHandle
  readonly classes: ReadonlyArray<string>
  /** Experts the gate chooses; all without it. */
  readonly topK?: number
  readonly cascade?: Cascade.Cascade
}

/** Rows of readings as they come in, zeros where an expert has not run. */
interface Board {
  readonly data: HeadData.HeadData
  readonly selected: Float32Array // [rows, M]
}

/**
 * Opens a collaboration until the scope closes. The gate is asked with the word embeddings of the first expert. Fails
 * where the head was made for other experts, sizes or classes.
 */
export const open = Effect.fnUntraced(function* (options: Options) {
  const { cascade, classes, models, specs } = options
  const experts = yield* Expert.openAll(models, specs)
  const query = yield* Query.open(at(models, 0))
  const count = experts.length
  const { spec: trained } = yield* Head.read(options.head)
  const problem = Fit.problem(trained, {
    experts: experts.map(({ classes: own, spec: { name }, width }) => ({ name, width, classes: own })),
    classes,
    query: query.width,
    ...(options.topK === undefined ? {} : { topK: options.topK }),
    ...(cascade === undefined ? {} : { cascade }),
  })
  if (problem !== undefined) return yield* new CollabError({ subject: "collaboration", problem })
  const head = yield* HeadProgram.open(options.head)
  const k = Math.min(options.topK ?? count, count)

  const blank = Effect.fnUntraced(function* (texts: ReadonlyArray<string>) {
    const queries = new Float32Array(texts.length * query.width)
    for (const [i, own] of (yield* query.of(texts)).entries()) queries.set(own, i * query.width)
    return {
      data: {
        count: texts.length,
        features: experts.map(({ width }) => new Float32Array(texts.length * width)),
        logits: experts.map((expert) => new Float32Array(texts.length * expert.classes)),
        queries,
        labels: new Int32Array(texts.length),
      },
      selected: new Float32Array(texts.length * count),
    } satisfies Board
  })

  /** Runs one expert on some rows and writes what it says. */
  const run = Effect.fnUntraced(function* (
    { data, selected }: Board,
    texts: ReadonlyArray<string>,
    expert: number,
    rows: ReadonlyArray<number>,
  ) {
    const own = experts[expert]
    if (own === undefined || rows.length === 0) return
    const readings = yield* own.read(rows.map((row) => at(texts, row)))
    rows.forEach((row, i) => {
      const { features, logits } = at(readings, i)
      at(data.features, expert).set(features, row * own.width)
      at(data.logits, expert).set(logits, row * own.classes)
      selected[row * count + expert] = 1
    })
  })

  const byGate = Effect.fnUntraced(function* (texts: ReadonlyArray<string>) {
    const board = yield* blank(texts)
    const gates = yield* head.gate(board.data.queries)
    const chosen = k < count ? HeadData.top(gates, count, k) : new Float32Array(gates.length).fill(1)
    yield* Effect.forEach(
      experts,
      (_, expert) =>
        run(
          board,
          texts,
          expert,
          [...texts.keys()].filter((row) => chosen[row * count + expert] === 1),
        ),
      { concurrency: "unbounded", discard: true },
    )
    return { board, output: yield* head.run(board.data, board.selected) }
  })

  const byCascade = Effect.fnUntraced(function* (
    texts: ReadonlyArray<string>,
    { order, temperatures, thresholds }: Cascade.Cascade,
  ) {
    const board = yield* blank(texts)
    const size = classes.length
    const logProbabilities = new Float32Array(texts.length * size)
    const gates = new Float32Array(texts.length * count)
    let open = [...texts.keys()]
    for (const [place, expert] of order.entries()) {
      yield* run(board, texts, expert, open)
      const logits = at(board.data.logits, expert)
      open = open.filter((row) => {
        const own = logits.subarray(row * size, (row + 1) * size)
        const log = Metrics.logSoftmax(own, size, atOr(temperatures, expert, 1))
        if (Math.exp(Math.max(...log)) < atOr(thresholds, place, 2)) return true
        logProbabilities.set(log, row * size)
        gates[row * count + expert] = 1
        return false
      })
      if (open.length === 0) break
    }
    if (open.length > 0) {
      const last = yield* head.run(board.data, board.selected)
      for (const row of open) {
        logProbabilities.set(last.logProbabilities.subarray(row * size, (row + 1) * size), row * size)
        gates.set(last.gates.subarray(row * count, (row + 1) * count), row * count)
      }
    }
    return { board, output: { logProbabilities, gates } satisfies HeadProgram.Output }
  })

  /** Answers texts together, in their order. */
  const answer = Effect.fnUntraced(function* (texts: ReadonlyArray<string>) {
    const { board, output } = yield* cascade === undefined ? byGate(texts) : byCascade(texts, cascade)
    const size = classes.length
    const best = Metrics.classesOf(output.logProbabilities, size)
    return texts.map((_, row): Answer => {
      const log = output.logProbabilities.subarray(row * size, (row + 1) * size)
      const name = (expert: number) => at(experts, expert).spec.name
      const places = [...experts.keys()]
      return {
        class: at(classes, at(best, row)),
        probability: Math.exp(at(log, at(best, row))),
        probabilities: Object.fromEntries(classes.map((label, c) => [label, Math.exp(at(log, c))])),
        gates: Object.fromEntries(places.map((i) => [name(i), at(output.gates, row * count + i)])),
        ran: places.filter((i) => board.selected[row * count + i] === 1).map(name),
      }
    })
  })
  return { experts, head, answer }
})
