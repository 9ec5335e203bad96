/**
 * Weights and factors given by the user of a function: one per model, or one for the whole merge.
 */
import * as Effect from "effect/Effect"
import { MergeError } from "../MergeError.ts"

/** A weight for each model, as the parameters of that model; 1 where none are given. */
export const perModel = (
  method: string,
  input: string,
  given: ReadonlyArray<number> | undefined,
  models: number,
): Effect.Effect<ReadonlyArray<{ readonly weight: number }>, MergeError> => {
  const values = given ?? Array.from({ length: models }, () => 1)
  if (values.length !== models) {
    const problem = `expected ${models} numbers, one per model, got ${values.length}`
    return Effect.fail(new MergeError({ method, input, problem }))
  }
  return Effect.forEach(values, (value) => Effect.map(finite(method, input, value), (weight) => ({ weight })))
}

/** A finite number. */
export const finite = (method: string, input: string, value: number): Effect.Effect<number, MergeError> =>
  Number.isFinite(value)
    ? Effect.succeed(value)
    : Effect.fail(new MergeError({ method, input, problem: `expected a finite number, got ${value}` }))
