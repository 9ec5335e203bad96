/**
 * Evaluates nodes: digests of inputs → key → record, or the body and then a record.
 *
 * Each node is evaluated once per run, each key once per run, inputs at the same time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Semaphore from "effect/Semaphore"
import type { Action } from "../Action.ts"
import type { Content } from "../Content.ts"
import { ArtifactError, type SourceError, StoreError } from "../CoreError.ts"
import type { Event } from "../Events.ts"
import * as Ingredients from "../Ingredients.ts"
import * as Node from "../Node.ts"
import { reasonsFor } from "../Plan.ts"
import { Instance } from "../Stage.ts"
import { Store } from "../Store.ts"
import type { AnyArtifact } from "./erased.ts"
import { instance } from "./instance.ts"
import { keep, resolveSource } from "./resolution.ts"

/** A node whose content is in the store: its value is decoded when first asked for. */
export interface Done {
  readonly content: Content
  readonly value: Effect.Effect<unknown, ArtifactError>
  readonly action?: Action
}

interface Tools {
  readonly emit: (event: Event) => Effect.Effect<void, StoreError>
  readonly jobs: Semaphore.Semaphore
}

/** Errors of stage bodies are unknown here; the type of the node promised them to the caller. */
type Evaluation = Effect.Effect<Done, unknown, Store>

const done = (artifact: AnyArtifact, content: Content, action?: Action) =>
  Effect.map(Effect.cached(artifact.decode(content)), (value): Done => ({
    content,
    value,
    ...(action === undefined ? {} : { action }),
  }))

/** A function that evaluates any node below `targets`. */
export const evaluator = Effect.fnUntraced(function* (targets: ReadonlyArray<Node.AnyNode>, tools: Tools) {
  const evaluations = new Map<Node.AnyNode, Evaluation>()
  const byKey = new Map<string, Evaluation>()
  const evaluate = (node: Node.AnyNode): Evaluation => evaluations.get(node) ?? Effect.die(node)
  for (const node of Node.order(targets)) {
    const evaluation =
      node.kind === "source" ? evaluateSource(node) : evaluateStage(node, evaluate, byKey, tools)
    evaluations.set(node, yield* Effect.cached(evaluation))
  }
  return evaluate
})

const evaluateSource = (
  node: Node.SourceNode<unknown>,
): Effect.Effect<Done, SourceError | StoreError | ArtifactError, Store> =>
  Effect.flatMap(resolveSource(node), (content) => done(node.artifact, content))

const evaluateStage = (
  node: Node.AnyStageNode,
  evaluate: (node: Node.AnyNode) => Evaluation,
  byKey: Map<string, Evaluation>,
  tools: Tools,
): Evaluation =>
  Effect.gen(function* () {
    const inputs = new Map<Node.AnyNode, Done>()
    yield* Effect.forEach(
      Node.inputsOf(node),
      (input) => Effect.map(evaluate(input), (found) => inputs.set(input, found)),
      { concurrency: "unbounded", discard: true },
    )
    const ingredients = Ingredients.of(node, (input) => inputs.get(input)?.content.digest ?? "")
    const key = Ingredients.key(ingredients)
    // Two calls with the same key are one piece of work.
    const shared = byKey.get(key) ?? (yield* Effect.cached(produce(node, ingredients, key, inputs, tools)))
    if (!byKey.has(key)) byKey.set(key, shared)
    return yield* byKey.get(key) ?? shared
  })

const produce = (
  node: Node.AnyStageNode,
  ingredients: Ingredients.Ingredients,
  key: string,
  inputs: ReadonlyMap<Node.AnyNode, Done>,
  { emit, jobs }: Tools,
): Evaluation =>
  Effect.gen(function* () {
    const store = yield* Store
    const hit = yield* store.lookup(ingredients.stage, key)
    const title = Node.title(node)
    if (Option.isSome(hit)) {
      const content = yield* store.content(hit.value.kind, hit.value.digest)
      if (Option.isSome(content)) {
        // A process killed right after its record was written leaves the elements behind.
        yield* store.dropParts(key)
        yield* emit({ _tag: "Hit", node: title, key, summary: hit.value.summary })
        return yield* done(node.stage.output, content.value, hit.value)
      }
    }
    return yield* jobs
      .withPermits(1)(compute(node, ingredients, key, inputs, emit))
      .pipe(
        Effect.tapError((error) =>
          emit({
            _tag: "Failed",
            node: title,
            message: error instanceof Error ? error.message : String(error),
          }),
        ),
      )
  })

const compute = (
  node: Node.AnyStageNode,
  ingredients: Ingredients.Ingredients,
  key: string,
  inputs: ReadonlyMap<Node.AnyNode, Done>,
  emit: Tools["emit"],
): Evaluation =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Store
      const title = Node.title(node)
      const { output } = node.stage
      yield* emit({ _tag: "Started", node: title, key, reasons: yield* reasonsFor(ingredients) })
      const start = yield* Clock.currentTimeMillis
      const running = yield* instance(key, (finished, kept, total) =>
        Effect.orDie(emit({ _tag: "Progress", node: title, done: finished, kept, total })),
      )
      const values = yield* valuesOf(node.inputs, inputs)
      const value: unknown = yield* node.stage
        .run(values, node.params)
        .pipe(
          Random.withSeed(key),
          Effect.provideService(Instance, running.service),
          Effect.withSpan(title, { attributes: { key } }),
        )
      const content = yield* keep(output, value, running.scratchPath())
      const seconds = ((yield* Clock.currentTimeMillis) - start) / 1000
      const summary = output.summary(value)
      const action: Action = {
        key,
        ingredients,
        kind: output.kind,
        digest: content.digest,
        size: content.size,
        summary,
        started: new Date(start).toISOString(),
        seconds,
        ...(node.label === undefined ? {} : { label: node.label }),
      }
      yield* store.record(action)
      yield* store.dropParts(key)
      yield* emit({ _tag: "Published", node: title, key, digest: content.digest, summary, seconds })
      return yield* done(output, content, action)
    }),
  )

/** The decoded values of a stage's inputs, slot by slot. */
const valuesOf = (slots: Node.AnyStageNode["inputs"], inputs: ReadonlyMap<Node.AnyNode, Done>) => {
  const valueOf = (input: Node.AnyNode): Effect.Effect<unknown, ArtifactError> =>
    inputs.get(input)?.value ?? Effect.die(input)
  return Effect.map(
    Effect.forEach(Object.entries(slots), ([slot, input]) =>
      Effect.map(
        "kind" in input ? valueOf(input) : Effect.forEach(input, valueOf),
        (value) => [slot, value] as const,
      ),
    ),
    (entries) => Object.fromEntries(entries),
  )
}
