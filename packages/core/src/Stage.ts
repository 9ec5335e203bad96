/**
 * Stages: typed steps of a pipeline, as values.
 *
 * A stage names its inputs, parameters and output by artifacts and schemas, and has an Effect as body. Calling it does
 * no work: it returns a node. `stage.run` is the bare body, for unit tests and for use without a pipeline.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as Artifact from "./Artifact.ts"
import type { ArtifactError, StoreError } from "./CoreError.ts"
import { storeTry } from "./internal/files.ts"
import { callerOf } from "./internal/callSite.ts"
import { promise, type AnyArtifact, type AnyBody, type AnyFields } from "./internal/erased.ts"
import { checkInputs } from "./internal/inputs.ts"
import { paramsOf } from "./internal/params.ts"
import type * as Node from "./Node.ts"

/** An input slot that takes any number of nodes of one artifact. */
export interface Each<A> {
  readonly each: Artifact.Artifact<A>
}

/**
 * An input slot that takes any number of nodes of one artifact.
 *
 * @example
 * Stage.each(Artifact.json("lambda", Schema.Finite)).each.id // => "lambda"
 */
export const each = <A>(artifact: Artifact.Artifact<A>): Each<A> => ({ each: artifact })

/** A slot: an artifact (one node) or `Stage.each` of one (any number). */
export type Slot = AnyArtifact | Each<never> | { readonly each: AnyArtifact }

type NodeFor<S> =
  S extends Each<infer A>
    ? ReadonlyArray<Node.Node<A, unknown, unknown, unknown>>
    : S extends Artifact.Artifact<infer A>
      ? Node.Node<A, unknown, unknown, unknown>
      : never
type ValueFor<S> =
  S extends Each<infer A> ? ReadonlyArray<A> : S extends Artifact.Artifact<infer A> ? A : never
type Values<In> = Types.Simplify<{ readonly [K in keyof In]: ValueFor<In[K]> }>
type NodesIn<I> = { [K in keyof I]: I[K] extends ReadonlyArray<infer N> ? N : I[K] }[keyof I]
type MakeIn<P extends AnyFields> = Schema.Struct<P>["~type.make.in"]

/** What the engine knows of a stage: its types are checked where it is made and called. */
export interface Definition {
  readonly name: string
  readonly version: number
  readonly inputs: Readonly<Record<string, Slot>>
  readonly output: AnyArtifact
  readonly environment: ReadonlyArray<Identified<unknown>>
  readonly retry: Schedule.Schedule<unknown> | undefined
  readonly resources: Readonly<Record<string, number>>
  /** The file that the stage is written in, if it can be told. */
  readonly module: string | undefined
  readonly run: AnyBody
}

/** A service that says what it is: `identity` differs as soon as its results may, `"onnxruntime 1.30 cpu f32"`. */
export type Identified<X> = Context.Key<X, { readonly identity: string }>

/** A stage: call it with nodes and parameters to get a node; `run` is its body. */
export interface Stage<
  In extends Readonly<Record<string, Slot>>,
  P extends AnyFields,
  A,
  E,
  R,
  X = never,
> extends Definition {
  /** Names a step of the graph. The label is for people and no part of the key. */
  <const I extends { readonly [K in keyof In]: NodeFor<In[K]> }>(
    inputs: I,
    ...rest: {} extends MakeIn<P> ? [params?: MakeIn<P>, label?: string] : [params: MakeIn<P>, label?: string]
  ): Node.StageNode<
    A,
    E | Node.ErrorOf<NodesIn<I>>,
    R | Node.ServicesOf<NodesIn<I>>,
    X | Node.EnvironmentOf<NodesIn<I>>
  >
  readonly run: (inputs: Values<In>, params: Schema.Struct<P>["Type"]) => Effect.Effect<A, E, R | Instance>
}

/**
 * A stage from its name, version, slots, parameter fields, output artifact and body.
 *
 * `version` is part of the key: raise it when the meaning of the output changes. Parameters that their schema refuses,
 * and inputs that are no nodes, fail the building of the pipeline with a `ParamsError`.
 *
 * `environment` names services whose results depend on what provides them; their identities enter the key. `resources`
 * takes from the pools of `Resources` while the body runs. `retry` repeats a body that fails, by a schedule. Neither
 * of the two is part of the key.
 *
 * @example
 * const double = Stage.make({
 *   name: "double", version: 1,
 *   inputs: { value: Artifact.json("number", Schema.Finite) },
 *   output: Artifact.json("number", Schema.Finite),
 *   run: ({ value }) => Effect.succeed(2 * value),
 * })
 * double.name // => "double"
 */
export const make = <
  A,
  E,
  R,
  In extends Readonly<Record<string, Slot>> = {},
  P extends AnyFields = {},
  X = never,
>(options: {
  readonly name: string
  readonly version: number
  readonly inputs?: In
  readonly params?: P
  readonly output: Artifact.Artifact<A>
  readonly environment?: ReadonlyArray<Identified<X>>
  readonly retry?: Schedule.Schedule<unknown, NoInfer<E>>
  /** Amounts by pool, `{ memoryGiB: 4 }`. */
  readonly resources?: Readonly<Record<string, number>>
  readonly run: (inputs: Values<In>, params: Schema.Struct<P>["Type"]) => Effect.Effect<NoInfer<A>, E, R>
}): Stage<In, P, A, E, Exclude<R, Instance> | X, X> => {
  const { name } = options
  const module = callerOf(make)
  const params = paramsOf(name, options.params ?? {})
  const call = (
    inputs: Node.AnyStageNode["inputs"],
    given: object = {},
    label?: string,
  ): Node.AnyStageNode => {
    checkInputs(name, options.inputs ?? {}, inputs)
    return Object.freeze({
      kind: "stage",
      stage: promise<Definition>(call),
      inputs,
      ...params(given),
      label: label ?? commonLabel(Object.values(inputs).flat()),
    })
  }
  Object.defineProperty(call, "name", { value: name })
  return promise(
    Object.assign(call, {
      version: options.version,
      inputs: options.inputs ?? {},
      output: options.output,
      environment: options.environment ?? [],
      retry: options.retry,
      resources: options.resources ?? {},
      module,
      run: options.run,
    }),
  )
}

/** The label that all labelled inputs share: a step on math's data is about math unless it says otherwise. */
const commonLabel = (inputs: ReadonlyArray<Node.AnyNode>): string | undefined => {
  let common: string | undefined
  for (const input of inputs) {
    if (input.kind !== "stage" || input.label === undefined) continue
    if (common !== undefined && common !== input.label) return undefined
    common = input.label
  }
  return common
}

/** A checkpointed element: computed now, or kept from an interrupted run. */
export interface Element<out A> {
  readonly value: A
  readonly kept: boolean
}

/** The running stage, as its body sees it: checkpoints, a private directory, progress. */
export class Instance extends Context.Service<
  Instance,
  {
    readonly part: <A, E, R>(
      id: string,
      artifact: Artifact.Artifact<A>,
      effect: Effect.Effect<A, E, R>,
    ) => Effect.Effect<Element<A>, E | ArtifactError | StoreError, R>
    readonly scratch: Effect.Effect<string, StoreError>
    /** Reports elements done, of them kept from an earlier run, out of a total. */
    readonly progress: (done: number, kept: number, total: number) => Effect.Effect<void>
    /** Adds numbers about this execution to its record. */
    readonly measure: (numbers: Readonly<Record<string, number>>) => Effect.Effect<void>
  }
>()("@hila/core/Stage/Instance") {}

/** Checkpoints one element of a stage: once it is finished, an interrupted run does not repeat it. */
export const part = <A, E, R>(
  id: string,
  artifact: Artifact.Artifact<A>,
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, E | ArtifactError | StoreError, R | Instance> =>
  Effect.flatMap(Instance, (instance) =>
    Effect.map(instance.part(id, artifact, effect), ({ value }) => value),
  )

/**
 * `Effect.forEach` whose elements are checkpointed: an interrupted stage resumes at the first one that is missing.
 *
 * `part` gives each element an id that is unique within the stage and stays the same from run to run.
 */
export const forEach = <T, A, E, R>(
  items: ReadonlyArray<T>,
  f: (item: T, index: number) => Effect.Effect<A, E, R>,
  options: {
    readonly part: (item: T, index: number) => string
    readonly output: Artifact.Artifact<A>
    readonly concurrency?: number
  },
): Effect.Effect<Array<A>, E | ArtifactError | StoreError, R | Instance> =>
  Effect.flatMap(Instance, (instance) => {
    let done = 0
    let kept = 0
    return Effect.forEach(
      items,
      (item, index) =>
        Effect.gen(function* () {
          const element = yield* instance.part(options.part(item, index), options.output, f(item, index))
          if (element.kept) kept++
          yield* instance.progress(++done, kept, items.length)
          return element.value
        }),
      { concurrency: options.concurrency ?? 1 },
    )
  })

/** A private directory of the running stage, removed after it; a directory output is written here. */
export const scratch: Effect.Effect<string, StoreError, Instance> = Effect.flatMap(
  Instance,
  (instance) => instance.scratch,
)

/**
 * Notes finite numbers about this execution by name: times, memory, whatever another run of the same stage would find
 * otherwise. They go to the stage's record and the log of the run, and to its artifact's `show` and `figures`; they are no
 * part of its content, so that two equal runs make equal content.
 */
export const measure = (numbers: Readonly<Record<string, number>>): Effect.Effect<void, never, Instance> =>
  Effect.flatMap(Instance, (instance) => instance.measure(numbers))

/** Runs stage bodies without a store: no checkpoints, scratch space below the system's temporary directory. */
export const layerDetached: Layer.Layer<Instance> = Layer.effect(
  Instance,
  Effect.map(Effect.scope, (scope) => {
    const directory = storeTry("create", tmpdir(), () => mkdtemp(join(tmpdir(), "hila-"))).pipe((create) =>
      Effect.acquireRelease(create, (path) =>
        Effect.promise(() => rm(path, { recursive: true, force: true })),
      ),
    )
    return Instance.of({
      part: (_id, _artifact, effect) => Effect.map(effect, (value) => ({ value, kept: false })),
      scratch: Effect.provideService(directory, Scope.Scope, scope),
      progress: () => Effect.void,
      measure: () => Effect.void,
    })
  }),
)
