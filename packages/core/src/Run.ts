/**
 * Runs: brings outputs up to date, computing only what has no record.
 *
 * Independent stages run at the same time, up to `jobs` bodies at once. A stage's result is published before anything
 * that depends on it starts, so a run that is killed loses at most the elements it was on. Runs of other processes on
 * the same store share the work: each key is computed by one of them.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { randomBytes } from "node:crypto"
import { availableParallelism } from "node:os"
import type { Action } from "./Action.ts"
import type { ArtifactError, ResourceError, SourceError, StoreError } from "./CoreError.ts"
import { Events, type Event } from "./Events.ts"
import { all, evaluator } from "./internal/evaluation.ts"
import { promise } from "./internal/erased.ts"
import { patience } from "./internal/patience.ts"
import * as Look from "./Look.ts"
import * as Node from "./Node.ts"
import { pools } from "./Resources.ts"
import { Store } from "./Store.ts"

export interface Options {
  /** Name of the pipeline in references and logs. */
  readonly pipeline?: string
  /** Options of the pipeline that were set, as text, for the log. */
  readonly set?: Readonly<Record<string, string>>
  /** The module of the pipeline, for the log: what a report of the run is made with. */
  readonly file?: string
  /** Stage bodies at once; the number of processors by default. */
  readonly jobs?: number
  /** After a failure, goes on with everything that does not depend on it; the run still fails. */
  readonly keepGoing?: boolean
  /** Runs a stage again whose code differs from the code that made its record. */
  readonly strict?: boolean
  /** Whether outputs are referred to, so that a collection keeps them; otherwise they stay while the run is recent. */
  readonly refer?: boolean
}

/** Values by output name. */
export type Values<Outputs> = { readonly [K in keyof Outputs]: Node.Value<Outputs[K]> }

/** Announces the run; waits while a collection is in progress. */
const enter = Effect.gen(function* () {
  const store = yield* Store
  const wait = patience()
  while (!(yield* store.enter).held) yield* wait
})

/** Events that are logged with the next that is none of them: a run of hits writes its log once, at the end. */
const waits: ReadonlySet<Event["_tag"]> = new Set(["Hit", "Planned", "Source", "Output"])

/** What an event tells of a record. */
const told = (action: Action | undefined) =>
  action === undefined
    ? {}
    : { key: action.key, ...(action.measured === undefined ? {} : { measured: action.measured }) }

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
  Node.ErrorOf<Outputs[keyof Outputs]> | ArtifactError | ResourceError | SourceError | StoreError,
  Node.ServicesOf<Outputs[keyof Outputs]> | Store
> =>
  promise(
    Effect.gen(function* () {
      const store = yield* Store
      const events = yield* Events
      yield* enter
      const start = yield* Clock.currentTimeMillis
      const unique = `${process.pid}-${randomBytes(2).toString("hex")}`
      const run = `${new Date(start).toISOString().replaceAll(/[:.]/g, "-")}-${unique}`
      const { keepGoing = false, pipeline = "pipeline", refer = true, strict = false } = options
      const jobs = yield* Semaphore.make(options.jobs ?? availableParallelism())
      const tally = { hits: 0, runs: 0 }
      let pending: Array<string> = []
      const flush = Effect.suspend(() => {
        const lines = pending
        pending = []
        return lines.length === 0 ? Effect.void : store.log(run, lines)
      })
      const emit = (event: Event) =>
        Effect.suspend(() => {
          if (event._tag === "Hit") tally.hits++
          if (event._tag === "Published") tally.runs++
          pending.push(JSON.stringify(event))
          const stored = waits.has(event._tag) ? Effect.void : flush
          return Effect.andThen(stored, events.emit(event))
        })

      const targets = promise<Readonly<Record<string, Node.AnyNode>>>(wanted)
      const nodes = Object.values(targets)
      const titles = Node.stages(nodes).map(Node.title)
      const set = options.set === undefined ? {} : { set: options.set }
      const file = options.file === undefined ? {} : { file: options.file }
      const asked = Object.keys(targets)
      yield* emit({ _tag: "Planned", run, pipeline, nodes: titles, outputs: asked, ...set, ...file })
      const evaluate = yield* evaluator(nodes, { emit, jobs, pools: yield* pools, keepGoing, strict })
      const entries = yield* all(
        Object.entries(targets),
        ([name, node]) =>
          Effect.gen(function* () {
            const done = yield* evaluate(node)
            if (done.action !== undefined && refer) yield* store.refer(pipeline, name, done.action)
            yield* emit({ _tag: "Output", output: name, node: Node.title(node), ...told(done.action) })
            const value = yield* done.value
            // What an earlier Hila recorded has no look yet; a store that cannot be written to stays as it is.
            if (node.kind === "stage" && done.action !== undefined)
              yield* Effect.ignore(Look.complete(node.stage.output, done.action, value))
            return [name, value] as const
          }),
        keepGoing,
      )
      const seconds = ((yield* Clock.currentTimeMillis) - start) / 1000
      yield* emit({ _tag: "Finished", run, seconds, ...tally })
      return Object.fromEntries(entries)
    }).pipe(Effect.scoped),
  )
