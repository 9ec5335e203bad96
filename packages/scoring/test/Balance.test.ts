import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Balance from "../src/Balance.ts"

const set = (name: string, length: number) =>
  Array.from({ length }, (_, k) => ({
    prompt: `${name}${k}`,
    response: "",
    tokens: [1, 2],
    promptLength: 1,
  }))

describe("Balance", () => {
  it.effect("takes as many of each set as the smallest has, in turns, or as many as asked for", () =>
    Effect.gen(function* () {
      const sets = [set("en", 3), set("zh", 2), set("de", 5)]
      const prompts = (each?: number) =>
        Effect.map(Balance.balanced(sets, each), (examples) => examples.map(({ prompt }) => prompt))
      assert.deepStrictEqual(yield* prompts(), ["en0", "zh0", "de0", "en1", "zh1", "de1"])
      assert.deepStrictEqual(yield* prompts(1), ["en0", "zh0", "de0"])
    }),
  )

  it.effect("says what is missing in one line", () =>
    Effect.gen(function* () {
      const refusal = (sets: Parameters<typeof Balance.balanced>[0], each?: number) =>
        Effect.map(Effect.flip(Balance.balanced(sets, each)), ({ message }) => message)
      assert.deepStrictEqual(
        [yield* refusal([]), yield* refusal([set("en", 2), []]), yield* refusal([set("en", 2)], 3)],
        [
          "balanced set: expected 1 example or more in each, got sets of none",
          "balanced set: expected 1 example or more in each, got sets of 2, 0",
          "balanced set: expected 3 examples of each, got sets of 2",
        ],
      )
    }),
  )
})
