/**
 * Runs: brings outputs up to date, computing only what has no record.
 *
 * Independent stages run at the same time, up to `jobs` bodies at once. A stage's result is published before anything
 * that depends on it starts, so a run that is killed loses at most the elements it was on.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { availableParallelism } from "node:os"
import type { ArtifactError, SourceError, StoreError } from "./CoreError.ts"
import { Events, type Event } from "./Events.ts"
import { evaluator } from "./internal/evaluation.ts"
import { promise } from "./internal/erased.ts"
import * as Node from "./Node.ts"
import { Store } from "./Store.ts"

export interface Options {
  /** Name of the pipeline in references and logs. */
  readonly pipeline?: string
  /** Stage bodies at once; the number of processors by default. */
  readonly jobs?: number
}

/** Values by output name. */
export type Values<Outputs> = { readonly [K in keyof Outputs]: Node.Value<Outputs[K]> }

/**
 * Runs what the outputs need and returns their values.
 *
 * Fails with the first error of a stage; stages that were running are interrupted, what was published stays.
 */
export const outputs = <const Outputs extends Readonly<Record<string, Node.Like>>>(
  wanted: Outputs,
  options: Options = {},
): Effect.Effect<
  Values<Outputs>,
  Node.ErrorOf<Outputs[keyof Outputs]> | ArtifactError | SourceError | StoreError,
  Node.ServicesOf<Outputs[keyof Outputs]> | Store
> =>
  promise(
    Effect.gen(function* () {
      const store = yield* Store
      const events = yield* Events
      const start = yield* Clock.currentTimeMillis
      const run = `${new Date(start).toISOString().replaceAll(/[:.]/g, "-")}-${process.pid}`
      const pipeline = options.pipeline ?? "pipeline"
      const jobs = yield* Semaphore.make(options.jobs ?? availableParallelism())
      const tally = { hits: 0, runs: 0 }
      let pending: Array<string> = []
      const flush = Effect.suspend(() => {
        const lines = pending
        pending = []
        return store.log(run, lines)
      })
      const emit = (event: Event) =>
        Effect.suspend(() => {
          if (event._tag === "Hit") tally.hits++
          if (event._tag === "Published") tally.runs++
          pending.push(JSON.stringify(event))
          // A run of hits writes its log once, at the end.
          const stored = event._tag === "Hit" || event._tag === "Planned" ? Effect.void : flush
          return Effect.andThen(stored, events.emit(event))
        })

      const targets = promise<Readonly<Record<string, Node.AnyNode>>>(wanted)
      const nodes = Object.values(targets)
      yield* emit({ _tag: "Planned", run, pipeline, nodes: Node.stages(nodes).map(Node.title) })
      const evaluate = yield* evaluator(nodes, { emit, jobs })
      const entries = yield* Effect.forEach(
        Object.entries(targets),
        ([name, node]) =>
          Effect.gen(function* () {
            const done = yield* evaluate(node)
            if (done.action !== undefined) yield* store.refer(pipeline, name, done.action)
            return [name, yield* done.value] as const
          }),
        { concurrency: "unbounded" },
      )
      const seconds = ((yield* Clock.currentTimeMillis) - start) / 1000
      yield* emit({ _tag: "Finished", run, seconds, ...tally })
      return Object.fromEntries(entries)
    }),
  )
