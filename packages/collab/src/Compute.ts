/**
 * Where graphs of this package run: one pool of worker threads that experts, heads and training share.
 *
 * `Compute.layer` gives the `Runtime` service over the same pool, so that the two do not compete with twice the
 * threads. Nothing here knows what a graph computes.
 */
import { ModelError, Runtime } from "@hila/model"
import { encode } from "@hila/model/onnx/Encode"
import type { Graph } from "@hila/model/onnx/Graph"
import type { GraphError } from "@hila/model/onnx/GraphError"
import { withIntegers } from "@hila/model/runtime/Identity"
import * as Pool from "@hila/model/runtime/WorkerPool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"

/** Bytes a graph's sessions are reckoned with: the networks here are small. */
const smallBytes = 2 ** 20

/** Runs graphs that are built in this package. */
export class Compute extends Context.Service<
  Compute,
  {
    /** What computes, with its version, 8-bit products included: it enters the keys of stages that run experts. */
    readonly identity: string
    /** Opens a graph until the scope closes; `name` stands for it in errors. */
    readonly open: (
      name: string,
      graph: Result.Result<Graph, GraphError>,
    ) => Effect.Effect<Pool.OpenProgram, ModelError, Scope.Scope>
  }
>()("@hila/collab/Compute") {
  /** Graphs and models over one pool of threads. */
  static readonly layerWith = (options: Pool.PoolOptions = {}): Layer.Layer<Compute | Runtime> =>
    Layer.effectContext(
      Effect.map(Pool.make(options), (pool) =>
        Context.empty().pipe(
          Context.add(Runtime, Runtime.over(pool)),
          Context.add(
            Compute,
            Compute.of({ identity: withIntegers, open: (name, graph) => openIn(pool, name, graph) }),
          ),
        ),
      ),
    )
  static readonly layer: Layer.Layer<Compute | Runtime> = Compute.layerWith()
}

const openIn = Effect.fnUntraced(function* (
  pool: Pool.WorkerPool,
  name: string,
  graph: Result.Result<Graph, GraphError>,
) {
  const built = yield* Effect.mapError(
    Effect.fromResult(graph),
    ({ message }) => new ModelError({ model: name, problem: message, blame: "system" }),
  )
  const program = yield* pool.open(name, encode(built), smallBytes)
  yield* program.warm
  return program
})
