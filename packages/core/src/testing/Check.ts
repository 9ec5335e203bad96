/** Checks: what a contract is made of, for any test runner. */
import * as Effect from "effect/Effect"
import { deepStrictEqual, ok } from "node:assert/strict"

/** One clause of a contract: a sentence, and an effect that dies where it does not hold. */
export interface Check<R> {
  readonly name: string
  readonly check: Effect.Effect<void, unknown, R>
}

/** Dies unless both are deeply equal. */
export const same = (actual: unknown, expected: unknown): Effect.Effect<void> =>
  Effect.sync(() => deepStrictEqual(actual, expected))

/** Dies unless a statement holds. */
export const holds = (statement: boolean, what: string): Effect.Effect<void> =>
  Effect.sync(() => ok(statement, what))
