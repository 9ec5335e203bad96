/**
 * Graphs as programs of a pool: now, when their first session is needed, or when somebody first asks for them.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { ModelError } from "../ModelError.ts"
import { encode } from "../onnx/Encode.ts"
import type { Graph } from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import type { WorkerPool } from "./WorkerPool.ts"

/** Bytes of all weights of a graph once they are f32. */
const weightBytes = (graph: Graph): number =>
  graph.initializers.reduce(
    (sum, { value }) => sum + 4 * value.shape.reduce<number>((n, d) => n * Number(d), 1),
    0,
  )

/** Encodes a graph; workers make their sessions of it when they first run it, at the same time. */
export const prepare = Effect.fnUntraced(function* (
  pool: WorkerPool,
  model: string,
  graph: Result.Result<Graph, GraphError>,
) {
  const built = yield* Effect.mapError(
    Effect.fromResult(graph),
    ({ blame, message }) => new ModelError({ model, problem: message, blame }),
  )
  return yield* pool.open(model, encode(built), weightBytes(built))
})

/** Encodes a graph and makes its first session, so that what is wrong with it fails now. */
export const start = Effect.fnUntraced(function* (...of: Parameters<typeof prepare>) {
  const program = yield* prepare(...of)
  yield* program.warm
  return program
})

/**
 * A program that starts when it is first asked for, and ends with the scope it was announced in. One that cannot start is
 * tried again when it is next asked for: a worker that died, or a file that was away, may be back.
 */
export const later = Effect.fnUntraced(function* (
  pool: WorkerPool,
  model: string,
  graph: () => Result.Result<Graph, GraphError>,
) {
  const scope = yield* Effect.scope
  const starting = Effect.suspend(() => start(pool, model, graph()))
  return yield* Effect.cachedWithTTL(Effect.provideService(starting, Scope.Scope, scope), (exit) =>
    Exit.isSuccess(exit) ? Infinity : 0,
  )
})
