/**
 * Balanced sets: golden data of several domains or languages in equal parts.
 *
 * Answers that are dropped leave sets of different sizes, and a mean over all of their examples would then be mostly
 * about the largest. Which examples stay is decided by their order alone.
 */
import { at } from "@hila/core/Lookup"
import type { Example } from "@hila/model"
import * as Effect from "effect/Effect"
import { ScoringError } from "./ScoringError.ts"

/**
 * The first examples of every set, of each as many as `each` says, or as the smallest set has; in turns, so that every
 * beginning of the result is balanced too.
 *
 * Fails where there is nothing to balance, or a set has fewer examples than asked for.
 */
export const balanced = Effect.fnUntraced(function* (
  sets: ReadonlyArray<ReadonlyArray<Example.Example>>,
  each?: number,
): Effect.fn.Return<ReadonlyArray<Example.Example>, ScoringError> {
  const sizes = sets.map(({ length }) => length)
  const smallest = Math.min(...sizes)
  const count = each ?? smallest
  if (sets.length === 0 || smallest < Math.max(count, 1)) {
    const asked = each === undefined ? "1 example or more in each" : `${each} examples of each`
    return yield* new ScoringError({
      subject: "balanced set",
      problem: `expected ${asked}, got sets of ${sizes.length === 0 ? "none" : sizes.join(", ")}`,
    })
  }
  return Array.from({ length: count }, (_, k) => sets.map((set) => at(set, k))).flat()
})
