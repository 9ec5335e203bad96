/**
 * How long answers take, by the clock: median and 95th percentile of whole answers at a batch of 1 and of 32.
 *
 * Texts go through tokenizer, gate, experts and head as they do behind the endpoint. Figures hold for the machine and
 * the load they were taken on.
 */
import { Artifact } from "@hila/core"
import { at, atOr, known } from "@hila/core/Lookup"
import { Table } from "@hila/eval"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { availableParallelism, loadavg } from "node:os"

const Timing = Schema.Struct({ median: Schema.Finite, p95: Schema.Finite })

export const Row = Schema.Struct({
  name: Schema.String,
  /** Milliseconds of a whole answer. */
  one: Timing,
  thirtyTwo: Timing,
  /** Highest resident memory of the process while it ran, bytes. */
  memory: Schema.Finite,
})
export type Row = typeof Row.Type

export const Latency = Schema.Struct({
  rows: Schema.Array(Row),
  cpus: Schema.Int,
  /** Load of the machine, last minute, when it ended. */
  load: Schema.Finite,
  runs: Schema.Int,
})
export type Latency = typeof Latency.Type

type Answer<E> = (texts: ReadonlyArray<string>) => Effect.Effect<unknown, E>

/** Times `runs` answers after `warm` that do not count. */
export const measure = Effect.fnUntraced(function* <E>(
  name: string,
  answer: Answer<E>,
  texts: ReadonlyArray<string>,
  { runs, warm }: { readonly runs: number; readonly warm: number },
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
    const quantile = (share: number) => at(sorted, Math.round(share * (sorted.length - 1)))
    return { median: quantile(0.5), p95: quantile(0.95) }
  })
  const one = yield* timed(1)
  const thirtyTwo = yield* timed(32)
  return { name, one, thirtyTwo, memory } satisfies Row
})

/** The rows with what is known of the machine. */
export const of = (rows: ReadonlyArray<Row>, runs: number): Latency => ({
  rows,
  runs,
  cpus: availableParallelism(),
  load: atOr(loadavg(), 0, 0),
})

const show = ({ cpus, load, rows, runs }: Latency): string =>
  [
    Table.render(
      [["", "batch 1: median, ms", "p95", "batch 32: median, ms", "p95", "memory, MB"]],
      rows.map(({ memory, name, one, thirtyTwo }) => [
        name,
        one.median.toFixed(2),
        one.p95.toFixed(2),
        thirtyTwo.median.toFixed(2),
        thirtyTwo.p95.toFixed(2),
        (memory / 1e6).toFixed(0),
      ]),
    ),
    `${runs} answers each, ${cpus} processors, load ${load.toFixed(1)}; memory of the whole process`,
  ].join("\n")

export const artifact: Artifact.Artifact<Latency> = Artifact.json("collab-latency", Latency, {
  summary: ({ rows }) => `${rows.length} ways of answering timed`,
  show,
})
