/**
 * Failing inside a graph definition.
 *
 * A graph is written as plain nested calls (`add(matMul(x, w), bias)`), so a wrong shape leaves by an exception
 * that `attempt` turns back into a value at the edge. This is the only place of the graph code that throws.
 */
import * as Result from "effect/Result"
import { GraphError } from "../onnx/GraphError.ts"

/** Leaves the running graph definition with a `GraphError`. */
export const raise = (fields: {
  readonly operator: string
  readonly problem: string
  readonly scope: string
}): never => {
  throw new GraphError(fields)
}

/** Runs a graph definition; its `GraphError` becomes a failure, every other exception stays a defect. */
export const attempt = <A>(define: () => A): Result.Result<A, GraphError> => {
  try {
    return Result.succeed(define())
  } catch (error) {
    if (error instanceof GraphError) return Result.fail(error)
    throw error
  }
}
