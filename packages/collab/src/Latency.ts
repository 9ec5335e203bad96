/**
 * How long answers take, by the clock: median and 95th percentile of whole answers at a batch of 1 and of 32.
 *
 * Figures hold for the machine and the load they were taken on. They are numbers of an execution (`Stage.measure`): the
 * content says which ways of answering were timed and what those are worth, and two runs agree in it.
 */
import { Artifact, type Figure } from "@hila/core"
import { at, atOr, known } from "@hila/core/Lookup"
import { Table } from "@hila/eval"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { availableParallelism, loadavg } from "node:os"
import type { Comparison } from "./Comparison.ts"
import * as Guide from "./Guide.ts"

const Latency = Schema.Struct({
  /** Ways of answering, with what a comparison says of them; nothing where it does not know them. */
  ways: Schema.Array(Schema.Struct({ name: Schema.String, worth: Schema.NullOr(Guide.Way) })),
  /** Answers of each way that were timed at each batch. */
  runs: Schema.Int,
})
export type Latency = typeof Latency.Type

/** Milliseconds of a whole answer, and the highest resident memory of the process meanwhile, in bytes. */
const quantities = [
  "batch 1: median, ms",
  "batch 1: p95, ms",
  "batch 32: median, ms",
  "batch 32: p95, ms",
  "memory, MB",
] as const
type Quantity = (typeof quantities)[number]

/** One way of answering with its times. */
export interface Timing {
  readonly name: string
  readonly times: Readonly<Record<Quantity, number>>
}

/** How often each way is asked, and how often before that counts. */
export interface Repetitions {
  readonly runs: number
  readonly warm: number
}

/** Times `runs` answers after `warm` that do not count. */
export const measure = Effect.fnUntraced(function* <E, R>(
  name: string,
  answer: (texts: ReadonlyArray<string>) => Effect.Effect<unknown, E, R>,
  texts: ReadonlyArray<string>,
  { runs, warm }: Repetitions,
) {
  let memory = 0
  const timed = Effect.fnUntraced(function* (batch: number) {
    const times: Array<number> = []
    for (let i = 0; i < warm + runs; i++) {
      const own = Array.from({ length: batch }, (_, j) => known(texts[(i * batch + j) % texts.length]))
      const start = performance.now()
      yield* answer(own)
      const taken = performance.now() - start
      if (i >= warm) times.push(taken)
      memory = Math.max(memory, process.memoryUsage.rss())
    }
    const sorted = times.toSorted((a, b) => a - b)
    return (share: number) => at(sorted, Math.round(share * (sorted.length - 1)))
  })
  const one = yield* timed(1)
  const thirtyTwo = yield* timed(32)
  const timing: Timing = {
    name,
    times: {
      "batch 1: median, ms": one(0.5),
      "batch 1: p95, ms": one(0.95),
      "batch 32: median, ms": thirtyTwo(0.5),
      "batch 32: p95, ms": thirtyTwo(0.95),
      "memory, MB": memory / 1e6,
    },
  }
  return timing
})

const keyOf = (name: string, quantity: Quantity): string => `${name}, ${quantity}`

/** All times by name, with what is known of the machine. */
export const measured = (timings: ReadonlyArray<Timing>): Artifact.Measured => ({
  ...Object.fromEntries(
    timings.flatMap(({ name, times }) =>
      quantities.map((quantity) => [keyOf(name, quantity), times[quantity]] as const),
    ),
  ),
  processors: availableParallelism(),
  "load, last minute": atOr(loadavg(), 0, 0),
})

/** What was timed, with what it is worth where a comparison knows it. */
export const of = (
  timings: ReadonlyArray<Pick<Timing, "name">>,
  comparison: Pick<Comparison, "rows">,
  runs: number,
): Latency => ({
  ways: timings.map(({ name }) => {
    const found = Guide.waysOf(comparison).find((way) => way.name === name)
    if (found === undefined) return { name, worth: null }
    const { accuracy, validationMacroF1 } = found
    return { name, worth: { name, accuracy, validationMacroF1 } }
  }),
  runs,
})

const shown = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? "–"

/** Titles, rows and a note of the table of times. */
const times = ({ runs, ways }: Latency, numbers: Artifact.Measured) => ({
  head: ["", ...quantities],
  rows: ways.map(({ name }) => [
    name,
    ...quantities.map((quantity) => shown(numbers[keyOf(name, quantity)], quantity === "memory, MB" ? 0 : 2)),
  ]),
  note: `${runs} answers each, ${shown(numbers["processors"], 0)} processors, load ${shown(numbers["load, last minute"], 1)}; memory of the whole process`,
})

/** What to choose for which time, among what was timed. */
const choices = ({ ways }: Latency, numbers: Artifact.Measured): ReadonlyArray<Guide.Choice> =>
  Guide.frontier(
    "latency, batch 1",
    ways.flatMap(({ worth }) => worth ?? []),
    ({ name }) => numbers[keyOf(name, "batch 1: median, ms")],
  )

const figures = (latency: Latency, numbers: Artifact.Measured = {}): ReadonlyArray<Figure> => [
  { _tag: "Table", title: "How long answers take", ...times(latency, numbers) },
  Guide.table("What to choose for a time", choices(latency, numbers)),
]

export const artifact: Artifact.Artifact<Latency> = Artifact.json("collab-latency", Latency, {
  summary: ({ ways }) => `${ways.length} ways of answering timed`,
  show: (latency, numbers = {}) => {
    const { head, note, rows } = times(latency, numbers)
    return [Table.render([head], rows), note, "", Guide.show(choices(latency, numbers))].join("\n")
  },
  figures,
})
