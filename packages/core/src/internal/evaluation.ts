/**
 * Evaluates nodes: digests of inputs → key → record, or the executor and then a record.
 *
 * Each node is evaluated once per run, each key once per run and by one process at a time, inputs at the same time.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Semaphore from "effect/Semaphore"
import type { Action } from "../Action.ts"
import type { Content } from "../Content.ts"
import { type ArtifactError, type ResourceError, StoreError } from "../CoreError.ts"
import type { Event } from "../Events.ts"
import { Executor, type Input } from "../Executor.ts"
import * as Ingredients from "../Ingredients.ts"
import { entry } from "../Lookup.ts"
import * as Node from "../Node.ts"
import * as Miss from "./miss.ts"
import type { Reason } from "../Reason.ts"
import * as SourceCode from "../SourceCode.ts"
import { Store } from "../Store.ts"
import { environmentOf } from "./environment.ts"
import type { AnyArtifact } from "./erased.ts"
import { patience } from "./patience.ts"
import { resolveSource } from "./resolution.ts"

/** A node whose content is in the store: its value is decoded when first asked for. */
export interface Done {
  readonly content: Content
  readonly value: Effect.Effect<unknown, ArtifactError>
  readonly action?: Action
}

interface Tools {
  readonly emit: (event: Event) => Effect.Effect<void, StoreError>
  readonly jobs: Semaphore.Semaphore
  readonly pools: (
    stage: string,
    amounts: Readonly<Record<string, number>>,
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ResourceError, R>
  /** Goes on with what does not depend on a failed stage. */
  readonly keepGoing: boolean
  /** Runs a stage again whose code differs from the code that made its record. */
  readonly strict: boolean
}

/** Errors of stage bodies are unknown here; the type of the node promised them to the caller. */
type Evaluation = Effect.Effect<Done, unknown, Store>

const done = (artifact: AnyArtifact, content: Content, action?: Action) =>
  Effect.map(Effect.cached(artifact.decode(content)), (value): Done => ({
    content,
    value,
    ...(action === undefined ? {} : { action }),
  }))

/** All of some effects at the same time: the first failure stops the others, or, to keep going, waits for them. */
export const all = <T, A, E, R>(
  items: ReadonlyArray<T>,
  f: (item: T) => Effect.Effect<A, E, R>,
  keepGoing: boolean,
): Effect.Effect<Array<A>, E, R> => {
  if (!keepGoing) return Effect.forEach(items, f, { concurrency: "unbounded" })
  const exits = Effect.forEach(items, (item) => Effect.exit(f(item)), { concurrency: "unbounded" })
  return Effect.flatMap(exits, (ended) =>
    Effect.forEach(ended, (exit) => (Exit.isSuccess(exit) ? Effect.succeed(exit.value) : exit)),
  )
}

/**
 * A function that evaluates any node below `targets`.
 *
 * What is there already is found first, one node after another: a run of hits is nothing else, and needs no fibers.
 */
export const evaluator = Effect.fnUntraced(function* (targets: ReadonlyArray<Node.AnyNode>, tools: Tools) {
  const found = new Map<Node.AnyNode, Done>()
  const evaluations = new Map<Node.AnyNode, Evaluation>()
  const byKey = new Map<string, Evaluation>()
  const codeOf = SourceCode.reader()
  const evaluate = (node: Node.AnyNode): Evaluation => evaluations.get(node) ?? Effect.die(node)
  const order = Node.order(targets)
  for (const node of order) {
    const evaluation =
      node.kind === "source"
        ? Effect.flatMap(resolveSource(node), (content) => done(node.artifact, content))
        : evaluateStage(node, evaluate, byKey, codeOf, tools)
    evaluations.set(node, yield* Effect.cached(evaluation))
  }
  // Several, since one may have to ask another machine what its content is.
  const sources = order.filter(({ kind }) => kind === "source")
  yield* Effect.forEach(sources, (node) => Effect.exit(evaluate(node)), { concurrency: 8, discard: true })
  for (const node of order) {
    if (node.kind === "source") {
      // What is wrong with a source is for those to say who need it.
      const resolved = yield* Effect.exit(evaluate(node))
      if (Exit.isFailure(resolved)) continue
      found.set(node, resolved.value)
      const { digest } = resolved.value.content
      yield* tools.emit({ _tag: "Source", node: Node.title(node), artifact: node.artifact.id, digest })
    } else if (Node.inputsOf(node).every((input) => found.has(input))) {
      const call = yield* callOf(node, found, codeOf, tools)
      const before = yield* byKey.get(call.key) ?? traced(call, recorded(call))
      if (before === undefined) continue
      found.set(node, before)
      evaluations.set(node, Effect.succeed(before))
      byKey.set(call.key, Effect.succeed(before))
    }
  }
  return evaluate
})

/** A span for each node, whether it hits or runs. */
const traced = <A, E, R>({ key, node }: Call, effect: Effect.Effect<A, E, R>) =>
  Effect.withSpan(effect, Node.title(node), { attributes: { key }, captureStackTrace: false })

const callOf = (
  node: Node.AnyStageNode,
  inputs: ReadonlyMap<Node.AnyNode, Done>,
  codeOf: Call["codeOf"],
  tools: Tools,
): Effect.Effect<Call> =>
  Effect.map(environmentOf(node), (environment) => {
    const digestOf = (input: Node.AnyNode) => entry(inputs, input).content.digest
    const ingredients = Ingredients.of(node, digestOf, environment)
    return { node, ingredients, key: Ingredients.key(ingredients), inputs, codeOf, tools }
  })

const evaluateStage = (
  node: Node.AnyStageNode,
  evaluate: (node: Node.AnyNode) => Evaluation,
  byKey: Map<string, Evaluation>,
  codeOf: Call["codeOf"],
  tools: Tools,
): Evaluation =>
  Effect.gen(function* () {
    const inputs = new Map<Node.AnyNode, Done>()
    yield* all(
      Node.inputsOf(node),
      (input) => Effect.map(evaluate(input), (found) => inputs.set(input, found)),
      tools.keepGoing,
    )
    const call = yield* callOf(node, inputs, codeOf, tools)
    // Two calls with the same key are one piece of work.
    const own = yield* Effect.cached(traced(call, produce(call)))
    const shared = byKey.get(call.key) ?? own
    byKey.set(call.key, shared)
    return yield* shared
  })

/** One stage call whose inputs are there. */
interface Call {
  readonly node: Node.AnyStageNode
  readonly ingredients: Ingredients.Ingredients
  readonly key: string
  readonly inputs: ReadonlyMap<Node.AnyNode, Done>
  readonly codeOf: ReturnType<typeof SourceCode.reader>
  readonly tools: Tools
}

/** The result of an earlier run, if there is one that holds. */
const recorded = Effect.fnUntraced(function* ({ codeOf, ingredients, key, node, tools }: Call) {
  const store = yield* Store
  const hit = yield* store.lookup(ingredients.stage, key)
  if (Option.isNone(hit)) return undefined
  const { digest, kind, source, summary } = hit.value
  const differs = source !== undefined && (yield* codeOf(node))?.digest !== source
  if (differs && tools.strict) return undefined
  const content = yield* store.content(kind, digest)
  if (Option.isNone(content)) return undefined
  // A process killed right after its record was written leaves the elements behind.
  yield* store.dropParts(key)
  const note = differs ? ({ differs } as const) : {}
  yield* tools.emit({ _tag: "Hit", node: Node.title(node), key, summary, ...note })
  return yield* done(node.stage.output, content.value, hit.value)
})

const produce = (call: Call): Evaluation =>
  Effect.gen(function* () {
    const { key, node, tools } = call
    const before = yield* recorded(call)
    if (before !== undefined) return before
    const store = yield* Store
    const title = Node.title(node)
    // Whoever waits for another process leaves its place to a stage that nobody computes.
    const attempt = Effect.scoped(
      Effect.gen(function* () {
        const claim = yield* store.claim(key)
        if (!claim.held) return claim.owner
        // Another process may have finished it between the look and the claim.
        return (yield* recorded(call)) ?? (yield* compute(call))
      }),
    ).pipe(tools.jobs.withPermits(1), tools.pools(title, node.stage.resources))
    const wait = patience()
    for (let announced: string | undefined; ;) {
      const result = yield* attempt
      if (typeof result !== "string") return result
      if (announced !== result) yield* tools.emit({ _tag: "Waits", node: title, key, owner: result })
      announced = result
      yield* wait
    }
  }).pipe(
    Effect.tapError((error) =>
      call.tools.emit({
        _tag: "Failed",
        node: Node.title(call.node),
        message: error instanceof Error ? error.message : String(error),
      }),
    ),
  )

const compute = (call: Call): Evaluation =>
  Effect.gen(function* () {
    const { codeOf, ingredients, key, node, tools } = call
    const { emit } = tools
    const store = yield* Store
    const executor = yield* Executor
    const title = Node.title(node)
    const { expected, reasons } = yield* reasonsOf(call)
    const estimate = expected === undefined ? {} : { expected }
    yield* emit({ _tag: "Started", node: title, key, reasons, ...estimate })
    const start = yield* Clock.currentTimeMillis
    const outcome = yield* executor.execute({
      key,
      ingredients,
      node,
      inputs: inputsOf(call),
      progress: (finished, kept, total) =>
        Effect.orDie(emit({ _tag: "Progress", node: title, done: finished, kept, total })),
      retried: (attempt, message) => Effect.orDie(emit({ _tag: "Retried", node: title, attempt, message })),
    })
    const { digest, kind, look, metrics, size, summary } = outcome
    const content = yield* store.content(kind, digest)
    if (Option.isNone(content)) {
      const problem = "the executor announced it, but it is not in the store"
      return yield* new StoreError({ operation: "find", path: digest, problem })
    }
    const seconds = ((yield* Clock.currentTimeMillis) - start) / 1000
    const code = yield* codeOf(node)
    if (code !== undefined) yield* SourceCode.store(code)
    const numbers = {
      ...(Object.keys(metrics).length === 0 ? {} : { metrics }),
      ...(Object.keys(outcome.measured).length === 0 ? {} : { measured: outcome.measured }),
    }
    const action: Action = {
      key,
      ingredients,
      kind,
      digest,
      size,
      summary,
      started: new Date(start).toISOString(),
      seconds,
      ...(node.label === undefined ? {} : { label: node.label }),
      ...numbers,
      ...(look === undefined ? {} : { look }),
      ...(code === undefined ? {} : { source: code.digest }),
    }
    yield* store.record(action)
    yield* store.dropParts(key)
    yield* emit({ _tag: "Published", node: title, key, digest, summary, seconds, ...numbers })
    return yield* done(node.stage.output, content.value, action)
  })

/** Why it runs, and how long that took before. */
const reasonsOf = Effect.fnUntraced(function* ({ codeOf, ingredients, key, node }: Call) {
  const store = yield* Store
  const hit = yield* store.lookup(ingredients.stage, key)
  const code = yield* codeOf(node)
  // A record that holds and still is not used: its code differs, and the run is strict.
  if (Option.isSome(hit) && hit.value.source !== undefined && code !== undefined) {
    const files = yield* SourceCode.comparer()(code, hit.value.source)
    const reasons: ReadonlyArray<Reason> = [{ _tag: "SourceDiffers", files }]
    return { reasons, expected: hit.value.seconds }
  }
  return yield* Miss.explain(ingredients)
})

const inputsOf = ({ inputs, node }: Call): Readonly<Record<string, Input | ReadonlyArray<Input>>> => {
  const input = (each: Node.AnyNode): Input => inputs.get(each) ?? never(each)
  return Object.fromEntries(
    Object.entries(node.inputs).map(([slot, given]) => [
      slot,
      "kind" in given ? input(given) : given.map(input),
    ]),
  )
}

const never = (node: Node.AnyNode): never => {
  throw new Error(`${Node.title(node)} was not evaluated`)
}
