/**
 * A kit for testing stages, stores and executors: `@hila/core/testing`.
 *
 * Observed runs count what ran and what hit, `planned` is a plan in the form assertions want, a faulty disk fails or
 * stops at any one call, and the contracts are what every store and every executor has to do. It asserts by throwing
 * and needs no test runner.
 */
import * as Effect from "effect/Effect"
import type { ArtifactError, SourceError, StoreError } from "./CoreError.ts"
import { type Event, Events } from "./Events.ts"
import * as Node from "./Node.ts"
import * as Plan from "./Plan.ts"
import type { Store } from "./Store.ts"

export { executorContract } from "./testing/ExecutorContract.ts"
export { faultyDisk, type Fault } from "./testing/FaultyDisk.ts"
export type { Check } from "./testing/Check.ts"
export { strays } from "./testing/Strays.ts"
export { storeContract } from "./testing/StoreContract.ts"

/** What happened while an effect ran. */
export interface Observed<out A> {
  readonly value: A
  readonly events: ReadonlyArray<Event>
  /** Titles of the stages whose bodies ran, and of those that were found, in order. */
  readonly ran: ReadonlyArray<string>
  readonly hit: ReadonlyArray<string>
}

/** Runs an effect and counts the stages that ran and hit in it. */
export const observed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Observed<A>, E, R> =>
  Effect.suspend(() => {
    const events: Array<Event> = []
    const emit = (event: Event) => Effect.sync(() => void events.push(event))
    const titles = (tag: "Started" | "Hit") =>
      events.flatMap((event) => (event._tag === tag && "node" in event ? [event.node] : []))
    return Effect.map(Effect.provideService(effect, Events, { emit }), (value) => ({
      value,
      events,
      ran: titles("Started"),
      hit: titles("Hit"),
    }))
  })

/** A plan as pairs of title and what would happen: `hit`, `hit*`, `waits`, or the tags of the reasons to run. */
export const planned = <const Outputs extends Readonly<Record<string, Node.Like>>>(
  outputs: Outputs,
  options: { readonly strict?: boolean } = {},
): Effect.Effect<
  ReadonlyArray<readonly [title: string, what: string]>,
  StoreError | SourceError | ArtifactError,
  Store | Node.EnvironmentOf<Outputs[keyof Outputs]>
> =>
  Effect.map(Plan.make(outputs, options), (plan) =>
    plan.map((step) => {
      const title = Node.title(step.node)
      if (step._tag === "Hit") return [title, step.differs === undefined ? "hit" : "hit*"] as const
      if (step._tag === "Wait") return [title, "waits"] as const
      return [title, step.reasons.map((reason) => reason._tag).join(" ")] as const
    }),
  )
