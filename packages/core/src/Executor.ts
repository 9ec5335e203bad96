/**
 * The executor: who computes a stage, given its key and the content of its inputs, and puts the result into the store.
 *
 * By default it is this process. A cluster implements the same: it is given digests, and answers with one. What is a
 * hit, what waits and what is recorded is not its business, and neither are locks: it is asked once per key.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Content } from "./Content.ts"
import type { ArtifactError } from "./CoreError.ts"
import type * as Ingredients from "./Ingredients.ts"
import { promise } from "./internal/erased.ts"
import { instance } from "./internal/instance.ts"
import { keep } from "./internal/resolution.ts"
import * as Look from "./Look.ts"
import type * as Node from "./Node.ts"
import { Instance } from "./Stage.ts"
import type { Store } from "./Store.ts"

/** One input: where its content lies, and its value, decoded when it is asked for. */
export interface Input {
  readonly content: Content
  readonly value: Effect.Effect<unknown, ArtifactError>
}

/** One stage call to compute. */
export interface Task {
  readonly key: string
  readonly ingredients: Ingredients.Ingredients
  readonly node: Node.AnyStageNode
  readonly inputs: Readonly<Record<string, Input | ReadonlyArray<Input>>>
  /** Reports elements done, of them kept from an earlier run, out of a total. */
  readonly progress: (done: number, kept: number, total: number) => Effect.Effect<void>
  /** Reports that an attempt failed and the next one starts. */
  readonly retried: (attempt: number, message: string) => Effect.Effect<void>
}

/** What was computed; its content is in the store. */
export interface Outcome {
  readonly kind: "file" | "directory"
  readonly digest: string
  readonly size: number
  readonly summary: string
  readonly metrics: Readonly<Record<string, number>>
  /** What the body measured of its own execution. */
  readonly measured: Readonly<Record<string, number>>
  /** Digest of what the value looks like, where that is more than its summary. */
  readonly look?: string
}

const isMany = (input: Input | ReadonlyArray<Input>): input is ReadonlyArray<Input> => Array.isArray(input)

/** The decoded values of a stage's inputs, slot by slot. */
const valuesOf = (inputs: Task["inputs"]) =>
  Effect.map(
    Effect.forEach(Object.entries(inputs), ([slot, input]) =>
      Effect.map(
        isMany(input) ? Effect.forEach(input, ({ value }) => value) : input.value,
        (value) => [slot, value] as const,
      ),
    ),
    (entries) => Object.fromEntries(entries),
  )

/** Computes in this process, seeded by the key: same key, same draws. */
const here = (task: Task): Effect.Effect<Outcome, unknown, Store> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { output, retry, run } = task.node.stage
      const running = yield* instance(task.key, task.progress)
      const values = yield* valuesOf(task.inputs)
      let attempts = 0
      let message = ""
      const attempt = Effect.suspend(() => {
        // Its services are in the context: the type of its node has promised them.
        const body = promise<Effect.Effect<unknown, unknown>>(run(values, task.node.params)).pipe(
          Random.withSeed(task.key),
          Effect.provideService(Instance, running.service),
        )
        return ++attempts === 1 ? body : Effect.andThen(task.retried(attempts, message), body)
      }).pipe(
        Effect.tapError((error) =>
          Effect.sync(() => {
            message = error instanceof Error ? error.message : String(error)
          }),
        ),
      )
      const value = yield* retry === undefined ? attempt : Effect.retry(attempt, retry)
      const content = yield* keep(output, value, running.scratchPath())
      const [summary, measured] = [output.summary(value), running.measured()]
      const look = yield* Look.store(Look.of(output, value, measured), summary)
      return {
        kind: output.kind,
        digest: content.digest,
        size: content.size,
        summary,
        metrics: output.metrics(value),
        measured,
        ...(look === undefined ? {} : { look }),
      }
    }),
  )

/** Who computes; this process by default. */
export const Executor = Context.Reference<{
  readonly execute: (task: Task) => Effect.Effect<Outcome, unknown, Store>
}>("@hila/core/Executor", { defaultValue: () => ({ execute: here }) })
