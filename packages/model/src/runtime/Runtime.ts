/**
 * The service that runs graphs: a pool of worker threads, which everything that opens a model asks for programs.
 *
 * The graph of a model is written here from its architecture and points into the checkpoint's own files; there is no
 * export step and no second copy of the weights on disk. Threads start with the first model and end with the layer.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { ModelError } from "../ModelError.ts"
import type { Graph } from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import { identity } from "./Identity.ts"
import * as Programs from "./Programs.ts"
import type { OpenProgram, PoolOptions, WorkerPool } from "./WorkerPool.ts"
import * as Pool from "./WorkerPool.ts"

/** A graph that was built, or why it could not be. */
export type Built = Result.Result<Graph, GraphError>

export class Runtime extends Context.Service<
  Runtime,
  {
    /** What computes, with its version: results are its own, so it enters the keys of stages that run models. */
    readonly identity: string
    /** A program whose sessions workers make when they first run it; `model` stands for it in errors. */
    readonly prepare: (model: string, graph: Built) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
    /** A program that has its first session, so that what is wrong with it fails now. */
    readonly start: (model: string, graph: Built) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
    /** A program that starts when it is first asked for, and ends with the scope it is announced in. */
    readonly later: (
      model: string,
      graph: () => Built,
    ) => Effect.Effect<Effect.Effect<OpenProgram, ModelError>, never, Scope.Scope>
    /** A thread of its own for a model that runs piece by piece; ends with the scope. */
    readonly blocks: WorkerPool["blocks"]
  }
  // The name is an ingredient of the keys of stages, so it stays what it was when the service was called that.
>()("@hila/model/LanguageModel") {
  /** The service over a pool that is already there. */
  static readonly over = (pool: WorkerPool): Runtime["Service"] =>
    Runtime.of({
      identity,
      prepare: (model, graph) => Programs.prepare(pool, model, graph),
      start: (model, graph) => Programs.start(pool, model, graph),
      later: (model, graph) => Programs.later(pool, model, graph),
      blocks: pool.blocks,
    })
  /** Runs models within given budgets of threads and memory. */
  static readonly layerWith = (options: PoolOptions): Layer.Layer<Runtime> =>
    Layer.effect(
      Runtime,
      Effect.map(Pool.make(options), (pool) => Runtime.over(pool)),
    )
  /** Runs models with a worker per CPU (at most four). */
  static readonly layer: Layer.Layer<Runtime> = Runtime.layerWith({})
}
