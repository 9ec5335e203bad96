/** Content says what was made, not when, how long it took or on how many threads: two equal runs leave equal stores. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as EqualRuns from "./support/EqualRuns.ts"

const files = readdirSync(fileURLToPath(new URL("..", import.meta.url)))
  .filter((name) => name.endsWith(".ts") && name !== "vitest.config.ts")
  .map((name) => name.slice(0, -".ts".length))

/** The others take minutes: `npm run equal-runs` runs them all. */
const quick = ["hila", "collab", "importance-study"]

describe("two runs of a pipeline on two stores", () => {
  it.effect.each(quick)(
    "%s: agree in the content of every stage",
    (name) =>
      Effect.gen(function* () {
        const { different, stages } = yield* EqualRuns.compare(name)
        assert.deepStrictEqual(different, [])
        assert.isAbove(stages, 20)
      }),
    300_000,
  )

  it("have settings for every shipped pipeline", () => {
    assert.sameMembers(Object.keys(EqualRuns.settings), files)
  })
})
